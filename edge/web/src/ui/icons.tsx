import type { ReactNode } from "react";

interface IconProps {
  className?: string;
}

function glyph({ className = "h-[1.125rem] w-[1.125rem]" }: IconProps, lines: ReactNode) {
  return (
    <svg
      className={className}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {lines}
    </svg>
  );
}

export const Plus = (props: IconProps) => glyph(props, <path d="M12 5v14M5 12h14" />);
export const Pencil = (props: IconProps) =>
  glyph(props, <path d="M4 20h4L19 9a2.8 2.8 0 0 0-4-4L4 16v4ZM14 6l4 4" />);
export const Compose = (props: IconProps) =>
  glyph(
    props,
    <>
      <path d="M20 13v5a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2h5" />
      <path d="M9 15h3l8-8a2.1 2.1 0 0 0-3-3l-8 8v3Z" />
    </>,
  );
export const Menu = (props: IconProps) => glyph(props, <path d="M4 7h16M4 12h16M4 17h10" />);
export const Close = (props: IconProps) => glyph(props, <path d="M6 6l12 12M18 6 6 18" />);
export const Dots = (props: IconProps) =>
  glyph(
    props,
    <>
      <circle cx="5.5" cy="12" r="1" />
      <circle cx="12" cy="12" r="1" />
      <circle cx="18.5" cy="12" r="1" />
    </>,
  );
export const Archive = (props: IconProps) =>
  glyph(
    props,
    <>
      <path d="M4 8.5V18a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2V8.5" />
      <path d="M3 4h18v4.5H3zM10 12.5h4" />
    </>,
  );
export const Restore = (props: IconProps) =>
  glyph(
    props,
    <>
      <path d="M4 12a8 8 0 1 0 2.6-5.9L4 8.5" />
      <path d="M4 4v4.5h4.5" />
    </>,
  );
export const Trash = (props: IconProps) =>
  glyph(
    props,
    <path d="M4 7h16M10 11v6M14 11v6M6 7l1 12a2 2 0 0 0 2 1.5h6A2 2 0 0 0 17 19l1-12M9 7V4.5h6V7" />,
  );
export const ArrowUp = (props: IconProps) => glyph(props, <path d="M12 19V5.5M6 11l6-6 6 6" />);
export const ArrowDown = (props: IconProps) => glyph(props, <path d="M12 5v13.5M6 13l6 6 6-6" />);
export const Chevron = (props: IconProps) => glyph(props, <path d="m7 10 5 5 5-5" />);
export const Back = (props: IconProps) => glyph(props, <path d="M15 6l-6 6 6 6" />);
export const Forward = (props: IconProps) => glyph(props, <path d="m9 6 6 6-6 6" />);
export const Copy = (props: IconProps) =>
  glyph(
    props,
    <>
      <rect x="9" y="9" width="11" height="11" rx="2.5" />
      <path d="M5.5 15A1.5 1.5 0 0 1 4 13.5v-8A1.5 1.5 0 0 1 5.5 4h8A1.5 1.5 0 0 1 15 5.5" />
    </>,
  );
export const Check = (props: IconProps) => glyph(props, <path d="m5 12.5 4.5 4.5L19 7.5" />);
export const Again = (props: IconProps) =>
  glyph(
    props,
    <>
      <path d="M20 12a8 8 0 1 1-2.6-5.9L20 8.5" />
      <path d="M20 4v4.5h-4.5" />
    </>,
  );
export const SignOut = (props: IconProps) =>
  glyph(props, <path d="M14 4h3.5A2.5 2.5 0 0 1 20 6.5v11a2.5 2.5 0 0 1-2.5 2.5H14M10 8l-4 4 4 4M6 12h9" />);
export const Sun = (props: IconProps) =>
  glyph(
    props,
    <>
      <circle cx="12" cy="12" r="4" />
      <path d="M12 2.5v2M12 19.5v2M4.2 4.2l1.5 1.5M18.3 18.3l1.5 1.5M2.5 12h2M19.5 12h2M4.2 19.8l1.5-1.5M18.3 5.7l1.5-1.5" />
    </>,
  );
export const Moon = (props: IconProps) =>
  glyph(props, <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z" />);
export const Screen = (props: IconProps) =>
  glyph(
    props,
    <>
      <rect x="3" y="4.5" width="18" height="12.5" rx="2" />
      <path d="M9 20.5h6" />
    </>,
  );
export const Eye = (props: IconProps) =>
  glyph(
    props,
    <>
      <path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z" />
      <circle cx="12" cy="12" r="2.8" />
    </>,
  );
export const Bell = (props: IconProps) =>
  glyph(
    props,
    <>
      <path d="M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15L6 16.5Z" />
      <path d="M10 20.5a2.2 2.2 0 0 0 4 0" />
    </>,
  );
export const Warning = (props: IconProps) =>
  glyph(props, <path d="M12 4 2.8 19.5h18.4L12 4ZM12 10v4.5M12 17v.2" />);
export const Clock = (props: IconProps) =>
  glyph(
    props,
    <>
      <circle cx="12" cy="12" r="8.5" />
      <path d="M12 7.5V12l3 2" />
    </>,
  );

export const Pin = (props: IconProps) =>
  glyph(props, <path d="M9 3.5h6l-.8 6 3.3 3.5v1.5h-11V13l3.3-3.5L9 3.5ZM12 14.5v6" />);
export const Share = (props: IconProps) =>
  glyph(props, <path d="M12 15V4M8 7.5 12 3.5l4 4M5 12v6a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-6" />);
export const Download = (props: IconProps) => glyph(props, <path d="M12 4v11M8 11.5l4 4 4-4M5 19.5h14" />);
export const Search = (props: IconProps) =>
  glyph(
    props,
    <>
      <circle cx="11" cy="11" r="6.5" />
      <path d="m16 16 4.5 4.5" />
    </>,
  );
export const Gear = (props: IconProps) =>
  glyph(props, <path d="M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5" />);
export const People = (props: IconProps) =>
  glyph(
    props,
    <>
      <circle cx="9" cy="8.5" r="3.5" />
      <path d="M2.5 19.5c.6-3.5 3.2-5.5 6.5-5.5s5.900 2 6.500 5.5M16 5.300a3.500 3.500 0 0 1 0 6.400M18 14.300c1.900.800 3.100 2.500 3.500 5.200" />
    </>,
  );

/** Stop: a filled square reads better than an outline at this size. */
export function Stop() {
  return (
    <svg className="h-3.5 w-3.5" viewBox="0 0 14 14" fill="currentColor" aria-hidden="true">
      <rect x="1" y="1" width="12" height="12" rx="2.5" />
    </svg>
  );
}

/** The mark of Chorus: voices of different heights, together. */
export function Mark({ className = "h-8 w-8" }: { className?: string }) {
  return (
    <svg className={className} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" className="fill-accent" />
      <g className="fill-none stroke-accent-ink" strokeWidth="2.6" strokeLinecap="round">
        <path d="M8 13.5v5M13.3 10v12M18.7 7.5v17M24 12v8" />
      </g>
    </svg>
  );
}

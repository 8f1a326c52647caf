import { type ReactNode, useEffect, useRef } from "react";

/** A page beside the conversations, in parts that each have an address. */
export function Place({
  at,
  parts,
  present,
  children,
}: {
  at: "settings" | "project";
  parts: readonly (readonly [section: string, label: string])[];
  present: string;
  children: ReactNode;
}) {
  const tabs = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another part may stand beyond the edge of a phone.
  useEffect(() => {
    tabs.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [present]);
  return (
    <div className="thin-scroll min-h-0 flex-1 overflow-y-auto" data-testid={`${at}-page`}>
      <div className="mx-auto max-w-column px-4 pb-16 sm:px-6">
        <nav ref={tabs} className="thin-scroll mb-4 flex gap-1 overflow-x-auto border-b border-line">
          {parts.map(([section, label]) => (
            <a
              key={section}
              href={`#/${at}/${section}`}
              aria-current={section === present ? "page" : undefined}
              data-testid={`${at}-${section}`}
              className={`whitespace-nowrap border-b-2 px-3 py-2.5 text-sm font-medium transition-colors ${
                section === present
                  ? "border-accent text-ink"
                  : "border-transparent text-ink-soft hover:text-ink"
              }`}
            >
              {label}
            </a>
          ))}
        </nav>
        {children}
      </div>
    </div>
  );
}

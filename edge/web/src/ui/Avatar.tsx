/** A person as their initials, in a colour that stays theirs. */

const TONES = [
  "bg-teal-100 text-teal-900 dark:bg-teal-900 dark:text-teal-100",
  "bg-sky-100 text-sky-900 dark:bg-sky-900 dark:text-sky-100",
  "bg-violet-100 text-violet-900 dark:bg-violet-900 dark:text-violet-100",
  "bg-rose-100 text-rose-900 dark:bg-rose-900 dark:text-rose-100",
  "bg-amber-100 text-amber-900 dark:bg-amber-900 dark:text-amber-100",
  "bg-lime-100 text-lime-900 dark:bg-lime-900 dark:text-lime-100",
];

/** The first letters of the first and the last word. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "");
  return letters.join("").toUpperCase();
}

function toneOf(id: string): string {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.charCodeAt(0)) % 997;
  return TONES[sum % TONES.length] ?? "";
}

export function Avatar({
  id,
  name,
  status,
  className = "h-7 w-7 text-[0.6875rem]",
}: {
  id: string;
  name: string;
  /** A dot: online or away. */
  status?: string | undefined;
  className?: string;
}) {
  return (
    <span className="relative inline-flex shrink-0" aria-hidden="true">
      <span
        className={`inline-flex items-center justify-center rounded-full font-semibold ${toneOf(id)} ${className}`}
      >
        {initials(name) || "?"}
      </span>
      {status && (
        <i
          className={`absolute -bottom-0.5 -right-0.5 h-2.5 w-2.5 rounded-full border-2 border-canvas ${
            status === "online" ? "bg-accent" : "bg-ink-faint"
          }`}
        />
      )}
    </span>
  );
}

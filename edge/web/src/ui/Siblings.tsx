import { Back, Forward } from "./icons";

/** One of several: ‹ 2/3 ›. */
export function Siblings({
  index,
  of,
  labels,
  choose,
}: {
  index: number;
  of: number;
  labels: { nth(n: number, of: number): string; previous: string; next: string };
  choose(index: number): void;
}) {
  return (
    <fieldset className="flex items-center text-sm text-ink-soft" aria-label={labels.nth(index + 1, of)}>
      <button
        type="button"
        className="icon-button h-8 w-7"
        data-testid="sibling-previous"
        aria-label={labels.previous}
        disabled={index === 0}
        onClick={() => choose(index - 1)}
      >
        <Back className="h-4 w-4" />
      </button>
      <span className="tabular-nums" data-testid="sibling-place">
        {index + 1}/{of}
      </span>
      <button
        type="button"
        className="icon-button h-8 w-7"
        data-testid="sibling-next"
        aria-label={labels.next}
        disabled={index === of - 1}
        onClick={() => choose(index + 1)}
      >
        <Forward className="h-4 w-4" />
      </button>
    </fieldset>
  );
}

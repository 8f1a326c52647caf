/** Who else is here, and who is writing. */
import { useText } from "../i18n/context";
import type { Member } from "../net/protocol";
import { Avatar } from "./Avatar";

type Members = Readonly<Record<string, Member>>;

/** As many as fit beside a title on a phone. */
const MOST = 3;

export function PresentPeople({
  present,
  members,
}: {
  present: Readonly<Record<string, string>>;
  members: Members;
}) {
  const text = useText();
  const people = Object.entries(present).map(([id, status]) => ({
    id,
    status,
    name: members[id]?.display_name ?? text.thread.member,
  }));
  if (people.length === 0) return null;
  const names = people
    .map(({ name, status }) => (status === "away" ? `${name} (${text.people.away})` : name))
    .join(", ");
  return (
    <span
      className="flex shrink-0 items-center -space-x-1.5 px-1"
      data-testid="present"
      role="img"
      aria-label={text.people.here(names)}
      title={text.people.here(names)}
    >
      {people.slice(0, MOST).map(({ id, name, status }) => (
        <Avatar key={id} id={id} name={name} status={status} />
      ))}
      {people.length > MOST && (
        <span className="pl-3 text-xs text-ink-faint" aria-hidden="true">
          +{people.length - MOST}
        </span>
      )}
    </span>
  );
}

export function TypingLine({
  typing,
  members,
}: {
  typing: Readonly<Record<string, number>>;
  members: Members;
}) {
  const text = useText();
  const names = Object.keys(typing).map((id) => members[id]?.display_name ?? text.thread.member);
  return (
    <p
      className="mx-auto flex h-6 max-w-column items-center gap-2 px-4 text-xs text-ink-faint"
      data-testid="typing"
      aria-live="polite"
    >
      {names.length > 0 && (
        <>
          <span className="flex gap-1" aria-hidden="true">
            <i className="h-1.5 w-1.5 animate-glow rounded-full bg-ink-faint" />
            <i className="h-1.5 w-1.5 animate-glow rounded-full bg-ink-faint [animation-delay:200ms]" />
            <i className="h-1.5 w-1.5 animate-glow rounded-full bg-ink-faint [animation-delay:400ms]" />
          </span>
          <span className="truncate">{text.people.typing(names)}</span>
        </>
      )}
    </p>
  );
}

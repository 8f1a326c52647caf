import { memo } from "react";
import { useText } from "../i18n/context";
import { explain } from "../i18n/language";
import type { Message } from "../net/protocol";
import type { Outgoing } from "../state/outbox";
import { CopyButton } from "./Answer";
import { Clock, Warning } from "./icons";

const BUBBLE = "max-w-full whitespace-pre-wrap break-words rounded-2xl px-4 py-2.5 sm:max-w-[85%]";

/** What a person said: one's own on the right. */
export const Question = memo(function Question({ message, mine }: { message: Message; mine: boolean }) {
  const text = useText();
  return (
    <article
      className={`group/question flex flex-col ${mine ? "items-end pl-10" : "items-start pr-10"}`}
      data-testid="message-user"
      data-status="done"
      data-message-id={message.id}
      aria-label={mine ? text.thread.you : text.thread.member}
    >
      {!mine && <p className="mb-1 text-xs font-medium text-ink-faint">{text.thread.member}</p>}
      <div className={`${BUBBLE} ${mine ? "rounded-br-md bg-accent-soft" : "rounded-bl-md bg-ink/[0.06]"}`}>
        {message.deleted ? <em className="text-ink-faint">{text.answer.deleted}</em> : message.content}
      </div>
      <div className="-mb-2 h-8 opacity-0 transition-opacity focus-within:opacity-100 group-hover/question:opacity-100">
        <CopyButton text={message.content} />
      </div>
    </article>
  );
});

/** What was written here and is not in the conversation yet. */
export function OutgoingQuestion({
  entry,
  online,
  onResend,
  onDiscard,
}: {
  entry: Outgoing;
  online: boolean;
  onResend(): void;
  onDiscard(): void;
}) {
  const text = useText();
  const refused = entry.status === "refused";
  return (
    <article
      className="flex flex-col items-end pl-10"
      data-testid="message-user"
      data-status={entry.status}
      data-client-message-id={entry.clientMessageId}
      aria-label={text.thread.you}
    >
      <div className={`${BUBBLE} rounded-br-md ${refused ? "bg-danger-soft" : "bg-accent-soft"}`}>
        {entry.content}
      </div>
      {refused ? (
        <div
          role="alert"
          className="mt-1.5 flex flex-wrap items-center justify-end gap-x-2 gap-y-1 text-sm text-danger"
        >
          <Warning className="h-4 w-4" />
          <span>
            {text.outgoing.refused} {explain(text, entry.code ?? "")}
          </span>
          <span className="flex">
            <button
              type="button"
              className="quiet-button py-1 text-accent hover:text-accent"
              data-testid="resend"
              onClick={onResend}
            >
              {text.outgoing.again}
            </button>
            <button type="button" className="quiet-button py-1" data-testid="discard" onClick={onDiscard}>
              {text.outgoing.discard}
            </button>
          </span>
        </div>
      ) : (
        <p
          className={`flex h-6 items-center gap-1.5 text-xs text-ink-faint ${
            entry.status === "waiting" ? "after-a-while" : "invisible"
          }`}
        >
          <Clock className="h-3.5 w-3.5" />
          {online ? text.outgoing.sending : text.outgoing.offline}
        </p>
      )}
    </article>
  );
}

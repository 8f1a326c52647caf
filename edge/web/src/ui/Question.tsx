import { memo, useState } from "react";
import { useText } from "../i18n/context";
import { explain } from "../i18n/language";
import { characters, MAX_CONTENT_CHARACTERS, type Message } from "../net/protocol";
import type { Outgoing } from "../state/outbox";
import { CopyButton } from "./Answer";
import { Avatar } from "./Avatar";
import { ToMoney } from "./Cost";
import { Clock, Pencil, Warning } from "./icons";
import { Siblings } from "./Siblings";

const BUBBLE = "max-w-full whitespace-pre-wrap break-words rounded-2xl px-4 py-2.5 sm:max-w-[85%]";

interface QuestionProps {
  message: Message;
  mine: boolean;
  /** Its author; null where they are no member any more. */
  author: string | null;
  /** All versions of it, in the order of writing. */
  versions: readonly string[];
  found: boolean;
  /** Whether it may be said differently. */
  mayEdit: boolean;
  onChoose(id: string): void;
  onEdit(messageId: string, content: string): void;
}

/** What a person said: one's own on the right. */
export const Question = memo(
  function Question({ message, mine, author, versions, found, mayEdit, onChoose, onEdit }: QuestionProps) {
    const text = useText();
    const [editing, setEditing] = useState(false);
    const name = mine ? text.thread.you : (author ?? text.thread.member);
    if (editing) {
      return (
        <EditField
          content={message.content}
          onCancel={() => setEditing(false)}
          onSend={(content) => {
            setEditing(false);
            onEdit(message.id, content);
          }}
        />
      );
    }
    return (
      <article
        className={`group/question flex flex-col ${mine ? "items-end pl-10" : "items-start pr-10"} ${found ? "found" : ""}`}
        data-testid="message-user"
        data-status="done"
        data-message-id={message.id}
        aria-label={name}
      >
        {!mine && (
          <p className="mb-1.5 flex items-center gap-2 text-xs font-medium text-ink-soft">
            <Avatar id={message.author_id ?? ""} name={name} className="h-6 w-6 text-[0.625rem]" />
            <span data-testid="message-author">{name}</span>
          </p>
        )}
        <div className={`${BUBBLE} ${mine ? "rounded-br-md bg-accent-soft" : "rounded-bl-md bg-ink/[0.06]"}`}>
          {message.deleted ? <em className="text-ink-faint">{text.answer.deleted}</em> : message.content}
        </div>
        <div
          className={`-mb-2 flex h-8 items-center transition-opacity focus-within:opacity-100 group-hover/question:opacity-100 [@media(hover:none)]:opacity-100 ${
            versions.length > 1 ? "" : "opacity-0"
          }`}
        >
          {versions.length > 1 && (
            <Siblings
              index={versions.indexOf(message.id)}
              of={versions.length}
              labels={text.edit}
              choose={(index) => onChoose(versions[index] ?? message.id)}
            />
          )}
          {!message.deleted && <CopyButton text={message.content} />}
          {mine && mayEdit && !message.deleted && (
            <button
              type="button"
              className="icon-button h-8 w-8"
              data-testid="edit-message"
              aria-label={text.edit.edit}
              title={text.edit.edit}
              onClick={() => setEditing(true)}
            >
              <Pencil className="h-4 w-4" />
            </button>
          )}
        </div>
      </article>
    );
  },
  (before, after) =>
    before.message === after.message &&
    before.mine === after.mine &&
    before.author === after.author &&
    before.found === after.found &&
    before.mayEdit === after.mayEdit &&
    before.onChoose === after.onChoose &&
    before.onEdit === after.onEdit &&
    before.versions.join() === after.versions.join(),
);

/** Enter sends it, Esc leaves it as it was. */
function EditField({
  content,
  onCancel,
  onSend,
}: {
  content: string;
  onCancel(): void;
  onSend(content: string): void;
}) {
  const text = useText();
  const [value, setValue] = useState(content);
  const ready =
    value.trim() !== "" && value.trim() !== content.trim() && characters(value) <= MAX_CONTENT_CHARACTERS;
  const over = characters(value) - MAX_CONTENT_CHARACTERS;
  return (
    <form
      className="flex flex-col gap-2 pl-2 sm:pl-10"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) onSend(value);
      }}
    >
      <textarea
        className="field thin-scroll resize-none"
        data-testid="edit-input"
        aria-label={text.edit.label}
        rows={Math.min(12, value.split("\n").length + 1)}
        value={value}
        ref={(area) => {
          if (area && document.activeElement !== area && !area.dataset.met) {
            area.dataset.met = "yes";
            area.focus();
            area.setSelectionRange(area.value.length, area.value.length);
          }
        }}
        onChange={(event) => setValue(event.target.value)}
        onKeyDown={(event) => {
          if (event.nativeEvent.isComposing) return;
          if (event.key === "Escape") {
            event.preventDefault();
            onCancel();
          }
          if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            if (ready) onSend(value);
          }
        }}
      />
      <div className="flex items-center justify-end gap-2">
        {over > 0 && <p className="text-xs font-medium text-danger">{text.composer.over(over)}</p>}
        <button type="button" className="quiet-button" data-testid="edit-cancel" onClick={onCancel}>
          {text.edit.cancel}
        </button>
        <button type="submit" className="solid-button py-1.5" data-testid="edit-send" disabled={!ready}>
          {text.edit.send}
        </button>
      </div>
    </form>
  );
}

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
            <ToMoney code={entry.code} />
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

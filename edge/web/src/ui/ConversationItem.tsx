import { type KeyboardEvent, memo, useState } from "react";
import { useText } from "../i18n/context";
import { type Conversation, MAX_TITLE_CHARACTERS } from "../net/protocol";
import { type ThreadActions, ThreadMenu } from "./ThreadMenu";

interface Props extends Omit<ThreadActions, "onRename"> {
  conversation: Conversation;
  current: boolean;
  /** An answer is being written in it. */
  live: boolean;
  /** Its title, or what stands for one. */
  title: string;
  mayWrite: boolean;
  mayEnd: boolean;
  onOpen(id: string): void;
  onRename(id: string, title: string): void;
}

export const ConversationItem = memo(function ConversationItem(props: Props) {
  const { conversation, current, live, title, mayWrite, mayEnd, onOpen, onRename, ...on } = props;
  const text = useText();
  const [renaming, setRenaming] = useState(false);
  const { id } = conversation;
  const shown = title || text.list.untitled;

  if (renaming) {
    return (
      <li data-testid="conversation-item" data-conversation-id={id}>
        <RenameField
          title={title}
          onDone={(next) => {
            setRenaming(false);
            if (next !== null && next !== conversation.title) onRename(id, next);
          }}
        />
      </li>
    );
  }
  return (
    <li
      data-testid="conversation-item"
      data-conversation-id={id}
      className={`group relative flex items-center rounded-lg transition-colors ${
        current ? "bg-accent-soft" : "hover:bg-ink/[0.05]"
      }`}
    >
      <a
        href={`#/c/${id}`}
        aria-current={current ? "page" : undefined}
        className="flex min-w-0 flex-1 items-center gap-2 rounded-lg py-2 pl-3 pr-10"
        onClick={() => onOpen(id)}
        onDoubleClick={() => mayWrite && setRenaming(true)}
      >
        <span
          className={`truncate ${current ? "font-medium" : ""}`}
          data-testid="conversation-title"
          title={shown}
        >
          {shown}
        </span>
        {live && <span className="h-2 w-2 shrink-0 animate-glow rounded-full bg-accent" />}
      </a>
      <ThreadMenu
        conversation={conversation}
        label={text.list.actions(shown)}
        testId="conversation-menu"
        className={`icon-button absolute right-1 h-8 w-8 transition-opacity focus-visible:opacity-100 group-hover:opacity-100 aria-expanded:opacity-100 [@media(hover:none)]:opacity-100 ${
          current ? "" : "opacity-0"
        }`}
        mayWrite={mayWrite}
        mayEnd={mayEnd}
        onRename={() => setRenaming(true)}
        {...on}
      />
    </li>
  );
});

/** Enter and leaving keep the new title, Esc the old one; an empty title is no title to keep. */
export function RenameField({ title, onDone }: { title: string; onDone(title: string | null): void }) {
  const text = useText();
  const [value, setValue] = useState(title);
  const keep = () => onDone(value.trim() === "" ? null : value.trim());
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter") keep();
    if (event.key === "Escape") {
      event.preventDefault();
      onDone(null);
    }
  };
  return (
    <input
      className="w-full rounded-lg border border-accent bg-surface px-[0.6875rem] py-[0.4375rem] outline-none ring-2 ring-accent/25"
      aria-label={text.list.renameLabel}
      data-testid="rename-input"
      value={value}
      maxLength={MAX_TITLE_CHARACTERS}
      ref={(input) => {
        if (input && document.activeElement !== input) input.select();
      }}
      onChange={(event) => setValue(event.target.value)}
      onKeyDown={onKeyDown}
      onBlur={keep}
    />
  );
}

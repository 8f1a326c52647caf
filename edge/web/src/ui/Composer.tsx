import {
  type KeyboardEvent,
  type Ref,
  useEffect,
  useId,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { useText } from "../i18n/context";
import type { Agent } from "../net/protocol";
import { characters, MAX_CONTENT_CHARACTERS, type WhenBusy } from "../net/protocol";
import { candidates, type Mention, mentionAt, mentioned, type Person } from "../state/mentions";
import { AgentMenu } from "./AgentMenu";
import { Avatar } from "./Avatar";
import { useMedia } from "./hooks";
import { ArrowUp, Chevron, Stop } from "./icons";
import { MenuItem, PopoverMenu } from "./Popover";

/** Characters left from which on the limit is shown. */
const NEAR_LIMIT = 1_000;

const draftKey = (id: string | null) => `chorus.draft.${id ?? "new"}`;

export interface ComposerHandle {
  focus(): void;
  fill(text: string): void;
}

interface Props {
  /** Whose draft this is. */
  conversationId: string | null;
  answering: boolean;
  stopping: boolean;
  disabled: boolean;
  handle: Ref<ComposerHandle>;
  agents: readonly Agent[];
  /** Who can be mentioned. */
  people: readonly Person[];
  /** Who answers here where nothing else is chosen. */
  agentId: string | null;
  onTyping(): void;
  /** `agentId` undefined: whoever answers here. */
  onSend(text: string, whenBusy: WhenBusy, agentId: string | null | undefined): void;
  onStop(): void;
}

export function Composer(props: Props) {
  const { conversationId, answering, stopping, disabled, handle, agents, people, agentId, onSend, onStop } =
    props;
  const text = useText();
  const [value, setValue] = useState("");
  const [forThis, setForThis] = useState<string | null | undefined>(undefined);
  const area = useRef<HTMLTextAreaElement>(null);
  const [mention, setMention] = useState<Mention | null>(null);
  const [nth, setNth] = useState(0);
  const listId = useId();
  const found = mention === null ? [] : candidates(people, mention.query);
  // On a touch screen Enter is the only key for a new line.
  const touch = useMedia("(pointer: coarse)");
  const length = characters(value);
  const left = MAX_CONTENT_CHARACTERS - length;
  const ready = value.trim() !== "" && left >= 0 && !disabled;

  useImperativeHandle(handle, () => ({
    focus: () => area.current?.focus(),
    fill: (filled) => {
      setValue(filled);
      area.current?.focus();
    },
  }));

  useEffect(() => {
    setValue(sessionStorage.getItem(draftKey(conversationId)) ?? "");
    setForThis(undefined);
    // A keyboard that slides over half the screen comes when asked for.
    if (!touch) area.current?.focus();
  }, [conversationId, touch]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows the text.
  useLayoutEffect(() => {
    const box = area.current;
    if (box === null) return;
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight}px`;
  }, [value]);

  function change(next: string) {
    setValue(next);
    if (next === "") sessionStorage.removeItem(draftKey(conversationId));
    else sessionStorage.setItem(draftKey(conversationId), next);
  }

  /** Whom the words before the caret may mean. */
  function seek(box: HTMLTextAreaElement) {
    setMention(box.selectionStart === box.selectionEnd ? mentionAt(box.value, box.selectionStart) : null);
    setNth(0);
  }

  function choose(person: Person) {
    if (mention === null) return;
    const [written, caret] = mentioned(value, mention, person, people);
    change(written);
    setMention(null);
    area.current?.focus();
    requestAnimationFrame(() => area.current?.setSelectionRange(caret, caret));
  }

  /** Whether the list of people has taken the key. */
  function pickBy(event: KeyboardEvent): boolean {
    const person = found[nth];
    if (person === undefined || event.nativeEvent.isComposing) return false;
    if (event.key === "ArrowDown" || event.key === "ArrowUp")
      setNth((nth + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length);
    else if (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey)) choose(person);
    else if (event.key === "Escape") setMention(null);
    else return false;
    event.preventDefault();
    return true;
  }

  function send(whenBusy: WhenBusy) {
    if (!ready) return;
    onSend(value, whenBusy, forThis);
    change("");
    setMention(null);
    setForThis(undefined);
    area.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    if (pickBy(event)) return;
    // While a Vietnamese or other input method composes, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing || touch) return;
    event.preventDefault();
    send("enqueue");
  }

  return (
    <form
      className="mx-auto w-full max-w-column"
      onSubmit={(event) => {
        event.preventDefault();
        send("enqueue");
      }}
    >
      <div className="relative rounded-[1.375rem] border border-line bg-surface shadow-card transition-colors focus-within:border-accent/60">
        {found.length > 0 && (
          <div
            id={listId}
            role="listbox"
            aria-label={text.composer.people}
            data-testid="mentions"
            className="absolute bottom-full left-2 z-10 mb-2 w-72 max-w-[calc(100%-1rem)] rounded-xl border border-line bg-raised p-1 shadow-float"
          >
            {found.map((one, at) => (
              <div
                key={one.user_id}
                id={`${listId}-${at}`}
                role="option"
                tabIndex={-1}
                aria-selected={at === nth}
                data-testid="mention"
                className={`flex cursor-pointer items-center gap-2.5 rounded-lg px-2.5 py-1.5 text-sm ${
                  at === nth ? "bg-accent-soft" : ""
                }`}
                onPointerMove={() => setNth(at)}
                // Before the box loses its focus, and with it the place of the caret.
                onPointerDown={(event) => {
                  event.preventDefault();
                  choose(one);
                }}
              >
                <Avatar id={one.user_id} name={one.display_name} className="h-6 w-6 text-[0.625rem]" />
                <span className="max-w-[65%] shrink-0 truncate">{one.display_name}</span>
                {one.email && (
                  <span className="ml-auto min-w-0 truncate text-xs text-ink-faint">{one.email}</span>
                )}
              </div>
            ))}
          </div>
        )}
        <textarea
          ref={area}
          id="composer"
          data-testid="composer"
          aria-label={text.composer.label}
          placeholder={answering ? text.composer.placeholderBusy : text.composer.placeholder}
          rows={1}
          value={value}
          disabled={disabled}
          onChange={(event) => {
            change(event.target.value);
            seek(event.target);
            if (event.target.value.trim() !== "") props.onTyping();
          }}
          onSelect={(event) => {
            // The keys that move in the list of people leave the caret where it is.
            const at = mentionAt(event.currentTarget.value, event.currentTarget.selectionStart);
            if (mention !== null && at?.query !== mention.query) seek(event.currentTarget);
          }}
          onBlur={() => setMention(null)}
          aria-autocomplete="list"
          aria-controls={found.length > 0 ? listId : undefined}
          aria-activedescendant={found.length > 0 ? `${listId}-${nth}` : undefined}
          onKeyDown={onKeyDown}
          enterKeyHint={touch ? "enter" : "send"}
          className="thin-scroll block max-h-[40vh] w-full resize-none bg-transparent px-4 pb-1 pt-3.5 text-base leading-6 placeholder:text-ink-faint focus-visible:ring-0 focus-visible:ring-offset-0 disabled:opacity-50"
        />
        <div className="flex items-center gap-2 px-2 pb-2 pl-4">
          <p
            className={`min-w-0 flex-1 truncate text-xs ${left < 0 ? "font-medium text-danger" : "text-ink-faint"}`}
            aria-live="polite"
            data-testid="composer-hint"
          >
            {left < 0 ? (
              text.composer.over(-left)
            ) : left <= NEAR_LIMIT ? (
              text.composer.left(left)
            ) : (
              <span className="hidden sm:inline">{text.composer.hint}</span>
            )}
          </p>
          {agents.length > 0 && !disabled && (
            <AgentMenu
              agents={agents}
              chosen={forThis === undefined ? agentId : forThis}
              label={conversationId === null ? text.people.answeredBy : text.people.onlyThis}
              testId="agent-once"
              onChoose={(chosen) => setForThis(chosen === agentId ? undefined : chosen)}
            />
          )}
          {answering && (
            <button
              type="button"
              data-testid="stop"
              aria-label={text.composer.stop}
              title={text.composer.stop}
              disabled={stopping}
              onClick={onStop}
              className="flex h-9 w-9 items-center justify-center rounded-full bg-ink text-canvas transition-opacity hover:opacity-85 disabled:opacity-40"
            >
              <Stop />
            </button>
          )}
          {answering && ready && (
            <PopoverMenu
              label={text.composer.whenBusy}
              testId="when-busy"
              icon={<Chevron className="h-4 w-4" />}
              className="icon-button w-7"
            >
              {(["enqueue", "interrupt", "rollback"] as const).map((way) => (
                <MenuItem key={way} testId={`when-busy-${way}`} onSelect={() => send(way)}>
                  <span>
                    <span className="block font-medium">{text.composer.busy[way][0]}</span>
                    <span className="block text-xs text-ink-faint">{text.composer.busy[way][1]}</span>
                  </span>
                </MenuItem>
              ))}
            </PopoverMenu>
          )}
          {(!answering || ready) && (
            <button
              type="submit"
              data-testid="send"
              aria-label={text.composer.send}
              title={text.composer.send}
              disabled={!ready}
              className="flex h-9 w-9 items-center justify-center rounded-full bg-accent text-accent-ink transition-opacity hover:opacity-90 disabled:bg-ink/10 disabled:text-ink-faint"
            >
              <ArrowUp />
            </button>
          )}
        </div>
      </div>
    </form>
  );
}

import {
  type KeyboardEvent,
  type Ref,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { useText } from "../i18n/context";
import type { Agent } from "../net/protocol";
import { characters, MAX_CONTENT_CHARACTERS, type WhenBusy } from "../net/protocol";
import { AgentMenu } from "./AgentMenu";
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
  /** Who answers here where nothing else is chosen. */
  agentId: string | null;
  onTyping(): void;
  /** `agentId` undefined: whoever answers here. */
  onSend(text: string, whenBusy: WhenBusy, agentId: string | null | undefined): void;
  onStop(): void;
}

export function Composer(props: Props) {
  const { conversationId, answering, stopping, disabled, handle, agents, agentId, onSend, onStop } = props;
  const text = useText();
  const [value, setValue] = useState("");
  const [forThis, setForThis] = useState<string | null | undefined>(undefined);
  const area = useRef<HTMLTextAreaElement>(null);
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

  function send(whenBusy: WhenBusy) {
    if (!ready) return;
    onSend(value, whenBusy, forThis);
    change("");
    setForThis(undefined);
    area.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
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
      <div className="rounded-[1.375rem] border border-line bg-surface shadow-card transition-colors focus-within:border-accent/60">
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
            if (event.target.value.trim() !== "") props.onTyping();
          }}
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

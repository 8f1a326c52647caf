import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { useSpeech } from "../i18n/context";
import { explain } from "../i18n/language";
import type { ChatClient } from "../net/client";
import type { Hit } from "../net/described";
import { search } from "../net/threads";
import { Dialog } from "./Dialog";
import { failureOf, when } from "./forms";
import { useStore } from "./hooks";

/** After the last key, before asking. */
const PAUSE_MS = 180;

/** Pages may be empty and not be the last: so many are read before somebody is asked whether to go on. */
const PAGES_AT_ONCE = 5;

interface Found {
  q: string;
  hits: readonly Hit[];
  next: string | null;
}

/** Messages and titles by their words: Ctrl or Cmd + K. */
export function SearchPalette({
  client,
  onPick,
  onClose,
}: {
  client: ChatClient;
  onPick(hit: Hit): void;
  onClose(): void;
}) {
  const { text, language } = useSpeech();
  const { projectId, projects, members } = useStore(client.chat);
  const [q, setQ] = useState("");
  const [everywhere, setEverywhere] = useState(false);
  const [found, setFound] = useState<Found | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [at, setAt] = useState(0);
  const turn = useRef(0);
  const listId = useId();
  const list = useRef<HTMLDivElement>(null);
  const within = everywhere ? null : projectId;

  async function ask(words: string, from: Found | null) {
    turn.current += 1;
    const mine = turn.current;
    setBusy(true);
    try {
      let hits: readonly Hit[] = from?.hits ?? [];
      let next = from?.next ?? null;
      const had = hits.length;
      for (let pages = 0; pages < PAGES_AT_ONCE; pages += 1) {
        const page = await client.rest((token) => search(token, words, within, next));
        if (turn.current !== mine) return;
        hits = [...hits, ...page.data];
        next = page.next_cursor;
        if (next === null || hits.length > had) break;
      }
      setFound({ q: words, hits, next });
      setFailure(null);
      if (from === null) setAt(0);
    } catch (error) {
      if (turn.current !== mine) return;
      setFailure(failureOf(error, { 422: "no_words" }));
      setFound(null);
    }
    setBusy(false);
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: asks when the words or the place change.
  useEffect(() => {
    const words = q.trim();
    turn.current += 1;
    if (words === "") {
      setFound(null);
      setFailure(null);
      setBusy(false);
      return;
    }
    const timer = window.setTimeout(() => void ask(words, null), PAUSE_MS);
    return () => window.clearTimeout(timer);
  }, [q, within]);

  useEffect(() => {
    list.current?.children[at]?.scrollIntoView({ block: "nearest" });
  }, [at]);

  const hits = found?.hits ?? [];
  function onKeyDown(event: KeyboardEvent) {
    if (event.nativeEvent.isComposing) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0 && hits.length > 0) {
      event.preventDefault();
      setAt((at + step + hits.length) % hits.length);
    }
    const hit = hits[at];
    if (event.key === "Enter" && hit !== undefined && found?.q === q.trim()) {
      event.preventDefault();
      onPick(hit);
    }
  }

  return (
    <Dialog title={text.search.label} testId="search" wide top onClose={onClose}>
      <input
        className="field"
        enterKeyHint="go"
        role="combobox"
        aria-expanded={hits.length > 0}
        aria-controls={listId}
        aria-activedescendant={hits.length > 0 ? `${listId}-${at}` : undefined}
        aria-label={text.search.label}
        placeholder={text.search.placeholder}
        data-testid="search-input"
        maxLength={200}
        autoComplete="off"
        spellCheck={false}
        value={q}
        ref={(input) => {
          if (input && !input.dataset.met) {
            input.dataset.met = "yes";
            input.focus();
          }
        }}
        onChange={(event) => setQ(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <div className="mt-2 flex min-h-7 items-center justify-between gap-3 text-xs text-ink-faint">
        <p role="status" data-testid="search-status" className={failure ? "text-danger" : ""}>
          {failure
            ? explain(text, failure)
            : busy
              ? text.search.searching
              : found === null
                ? text.search.hint
                : hits.length === 0 && found.next === null
                  ? text.search.none(found.q)
                  : text.search.found(hits.length)}
        </p>
        {projects.length > 1 && (
          <label className="flex shrink-0 items-center gap-1.5">
            <input
              type="checkbox"
              className="h-4 w-4 accent-accent"
              checked={everywhere}
              onChange={(event) => setEverywhere(event.target.checked)}
            />
            {text.search.everywhere}
          </label>
        )}
      </div>
      <div
        ref={list}
        id={listId}
        role="listbox"
        aria-label={text.search.label}
        className="thin-scroll mt-1 max-h-[55dvh] overflow-y-auto"
      >
        {hits.map((hit, nth) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above moves and chooses.
          <div
            key={`${hit.conversation_id}-${hit.message_id}`}
            id={`${listId}-${nth}`}
            role="option"
            tabIndex={-1}
            aria-selected={nth === at}
            data-testid="search-hit"
            className={`cursor-pointer rounded-xl px-3 py-2 ${nth === at ? "bg-ink/[0.06]" : ""}`}
            onMouseMove={() => setAt(nth)}
            onClick={() => onPick(hit)}
          >
            <p className="flex items-baseline gap-2 text-xs text-ink-faint">
              <span className="min-w-0 flex-1 truncate font-medium text-ink-soft">
                {hit.conversation_title || text.list.untitled}
              </span>
              <span className="shrink-0">
                {hit.message_id === null
                  ? text.search.title
                  : hit.role === "user"
                    ? hit.author_id === client.user.id
                      ? text.thread.you
                      : (members[hit.author_id ?? ""]?.display_name ?? text.thread.member)
                    : text.thread.agent}
                {" · "}
                {when(hit.created_at, language, false)}
              </span>
            </p>
            <p className="mt-0.5 line-clamp-2 break-words text-sm">
              {hit.snippet.map((part, place) =>
                part.match ? (
                  <mark key={place} className="rounded bg-accent/25 text-ink">
                    {part.text}
                  </mark>
                ) : (
                  part.text
                ),
              )}
            </p>
          </div>
        ))}
      </div>
      {found?.next && (
        <button
          type="button"
          className="quiet-button mt-1 w-full justify-center"
          disabled={busy}
          onClick={() => void ask(found.q, found)}
        >
          {text.search.more}
        </button>
      )}
    </Dialog>
  );
}

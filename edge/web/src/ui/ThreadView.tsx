import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useText } from "../i18n/context";
import type { Member } from "../net/protocol";
import { type Chosen, choicesTo, path } from "../state/branches";
import type { Outgoing } from "../state/outbox";
import { type Thread, type Turn, turns } from "../state/thread";
import { Answers } from "./Answer";
import { useStickToEnd } from "./hooks";
import { Again, ArrowDown } from "./icons";
import { OutgoingQuestion, Question } from "./Question";

interface Props {
  conversationId: string;
  thread: Thread | undefined;
  outbox: readonly Outgoing[];
  stopping: Readonly<Record<string, true>>;
  userId: string;
  online: boolean;
  /** Somebody is there to answer: people may also talk among themselves. */
  hasAgent: boolean;
  members: Readonly<Record<string, Member>>;
  /** Whether this person may say something here. */
  mayWrite: boolean;
  /** The message that somebody came to see. */
  wanted: string | null;
  onEdit(messageId: string, content: string): void;
  onRegenerate(messageId: string): void;
  onOlder(): Promise<void>;
  onResend(entry: Outgoing): void;
  onDiscard(entry: Outgoing): void;
}

export function ThreadView(props: Props) {
  const { conversationId, thread, outbox, stopping, userId, online, hasAgent } = props;
  const text = useText();
  const { box, content, away, toEnd, letGo } = useStickToEnd(conversationId);
  const everything = useMemo(() => (thread ? turns(thread) : []), [thread]);
  const { members, mayWrite, wanted, onOlder } = props;

  // A choice holds until somebody says something new.
  const newest = everything.at(-1)?.id ?? null;
  const [choice, setChoice] = useState<{ at: string | null; chosen: Chosen }>({ at: null, chosen: {} });
  const chosen = choice.at === newest ? choice.chosen : NOTHING_CHOSEN;
  const versions = useMemo(() => path(everything, chosen), [everything, chosen]);
  const saidAnew = outbox.find((entry) => entry.edits !== null && entry.status !== "refused");
  const cut = saidAnew === undefined ? -1 : versions.findIndex(({ turn }) => turn.id === saidAnew.edits);
  const shown = cut < 0 ? versions : versions.slice(0, cut);
  const list = useMemo(() => shown.map(({ turn }) => turn), [shown]);
  const older = newest !== null && list.at(-1)?.id !== newest && cut < 0;

  const onChoose = useCallback(
    (id: string) => setChoice({ at: newest, chosen: { ...chosen, ...choicesTo(everything, id) } }),
    [chosen, everything, newest],
  );

  // What somebody came to see may be far up, or in another version.
  const there = wanted !== null && (thread?.messages.some((message) => message.id === wanted) ?? false);
  const mayBeOlder = thread !== undefined && thread.cursor !== null && thread.older;
  const seen = useRef<string | null>(null);
  const firstId = thread?.messages[0]?.id;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asks again after each page of earlier messages.
  useEffect(() => {
    if (wanted === null || seen.current === wanted) return;
    if (!there) {
      if (mayBeOlder) void onOlder();
      return;
    }
    setChoice({ at: newest, chosen: choicesTo(everything, wanted) });
    const frame = window.setTimeout(() => {
      const found = box.current?.querySelector(`[data-message-id="${wanted}"]`);
      if (!found) return;
      seen.current = wanted;
      letGo();
      found.scrollIntoView({ block: "center" });
    }, 60);
    return () => window.clearTimeout(frame);
  }, [wanted, there, mayBeOlder, firstId]);
  const writing = list.find((turn) => turn.answers.some((answer) => answer.status === "streaming"));
  const loading = (thread === undefined || thread.cursor === null) && outbox.length === 0;

  // What a person just sent is what they want to see.
  const written = outbox.length;
  const writtenBefore = useRef(written);
  useLayoutEffect(() => {
    if (written > writtenBefore.current) toEnd();
    writtenBefore.current = written;
  }, [written, toEnd]);

  // Earlier messages come in above: what was on the screen stays where it was.
  const first = thread?.messages[0]?.id;
  const heightBefore = useRef<number | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the first message is another one.
  useLayoutEffect(() => {
    if (heightBefore.current === null || box.current === null) return;
    box.current.scrollTop += box.current.scrollHeight - heightBefore.current;
    heightBefore.current = null;
  }, [first]);
  const [loadingOlder, setLoadingOlder] = useState(false);
  async function loadOlder() {
    setLoadingOlder(true);
    heightBefore.current = box.current?.scrollHeight ?? null;
    await props.onOlder();
    setLoadingOlder(false);
  }

  return (
    <div className="relative min-h-0 flex-1">
      <div ref={box} className="thin-scroll h-full overflow-y-auto overscroll-contain [overflow-anchor:none]">
        <div
          ref={content}
          className="mx-auto flex min-h-full max-w-column flex-col gap-6 px-4 pb-8 pt-6 sm:px-6"
          role="log"
          aria-live="off"
          aria-label={text.thread.label}
        >
          {loading && <ThreadSkeleton label={text.loading} />}
          {thread?.older && (
            <button
              type="button"
              className="quiet-button self-center"
              data-testid="older"
              disabled={loadingOlder}
              onClick={() => void loadOlder()}
            >
              {loadingOlder ? text.loading : text.thread.older}
            </button>
          )}
          {shown.map(({ turn, versions: ids }, nth) => (
            <section key={turn.id} className="flex flex-col gap-1.5" data-testid="turn">
              {turn.question && (
                <Question
                  message={turn.question}
                  mine={turn.question.author_id === userId}
                  author={members[turn.question.author_id ?? ""]?.display_name ?? null}
                  versions={ids}
                  found={turn.id === wanted}
                  mayEdit={mayWrite}
                  onChoose={onChoose}
                  onEdit={props.onEdit}
                />
              )}
              {turn.answers.length > 0 ? (
                <Answers
                  answers={turn.answers}
                  questionId={turn.question?.id ?? null}
                  last={nth === list.length - 1}
                  busy={writing !== undefined && writing !== turn}
                  stopping={turn.answers.some((answer) => answer.runId !== null && answer.runId in stopping)}
                  wantedId={wanted}
                  mayAsk={mayWrite}
                  onRegenerate={props.onRegenerate}
                />
              ) : (
                hasAgent &&
                mayWrite &&
                turn.question !== null && (
                  <p className="after-a-while flex items-center gap-2 text-sm text-ink-faint">
                    {text.thread.unanswered}
                    <button
                      type="button"
                      className="quiet-button py-1 text-accent hover:text-accent"
                      onClick={() => props.onRegenerate(turn.id)}
                    >
                      <Again className="h-4 w-4" />
                      {text.thread.askAgain}
                    </button>
                  </p>
                )
              )}
            </section>
          ))}
          {older && (
            <p
              className="flex flex-wrap items-center justify-center gap-x-2 text-center text-sm text-ink-faint"
              data-testid="older-version"
            >
              {text.edit.older}
              <button
                type="button"
                className="quiet-button py-1 text-accent hover:text-accent"
                onClick={() => setChoice({ at: newest, chosen: NOTHING_CHOSEN })}
              >
                {text.edit.toNewest}
              </button>
            </p>
          )}
          {outbox.map((entry) => (
            <OutgoingQuestion
              key={entry.clientMessageId}
              entry={entry}
              online={online}
              onResend={() => props.onResend(entry)}
              onDiscard={() => props.onDiscard(entry)}
            />
          ))}
        </div>
      </div>
      {away && (
        <button
          type="button"
          data-testid="jump-to-latest"
          onClick={toEnd}
          className="absolute bottom-3 left-1/2 flex -translate-x-1/2 animate-rise items-center gap-1.5 rounded-full border border-line bg-raised px-3.5 py-1.5 text-sm font-medium shadow-float hover:border-accent/50"
        >
          <ArrowDown className="h-4 w-4" />
          {text.thread.latest}
        </button>
      )}
      <Announcer list={list} />
    </div>
  );
}

const NOTHING_CHOSEN: Chosen = {};

/** Reads a finished answer aloud once, instead of every word of it as it comes. */
function Announcer({ list }: { list: readonly Turn[] }) {
  const text = useText();
  const answer = list.at(-1)?.answers.at(-1);
  const wasOpen = useRef(false);
  const said = useRef("");
  const open = answer?.status === "streaming" || answer?.status === "queued";
  if (wasOpen.current && !open && answer) said.current = `${text.answer.finished} ${answer.text}`;
  wasOpen.current = open;
  return (
    <p className="sr-only" aria-live="polite">
      {open ? text.answer.thinking : said.current}
    </p>
  );
}

function ThreadSkeleton({ label }: { label: string }) {
  return (
    <div className="space-y-8" role="status" aria-label={label}>
      <div className="skeleton ml-auto h-11 w-1/2 rounded-2xl" />
      <div className="space-y-3 sm:pl-10">
        <div className="skeleton h-4 w-11/12" />
        <div className="skeleton h-4 w-4/5" />
        <div className="skeleton h-4 w-3/5" />
      </div>
    </div>
  );
}

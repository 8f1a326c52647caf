import { memo, type ReactNode, useState } from "react";
import { useText } from "../i18n/context";
import type { Dictionary } from "../i18n/en";
import { explain } from "../i18n/language";
import type { Answer } from "../state/thread";
import { Cost, ToMoney } from "./Cost";
import { useCopied, usePaced } from "./hooks";
import { Again, Check, Copy, Mark, Warning } from "./icons";
import { Markdown } from "./Markdown";
import { Siblings } from "./Siblings";

/** All answers to one question: the newest, and a way to the others. */
export const Answers = memo(
  function Answers({ answers, ...rest }: AnswersProps) {
    const text = useText();
    const [chosen, setChosen] = useState<{ index: number; of: number } | null>(null);
    const newest = answers.length - 1;
    // A choice holds until another answer arrives.
    const wanted = answers.findIndex((one) => one.id === rest.wantedId);
    const index =
      chosen !== null && chosen.of === answers.length ? chosen.index : wanted >= 0 ? wanted : newest;
    const answer = answers[index];
    if (answer === undefined) return null;
    return (
      <AnswerView
        key={answer.id}
        answer={answer}
        {...rest}
        siblings={
          answers.length > 1 ? (
            <Siblings
              index={index}
              of={answers.length}
              labels={text.answer}
              choose={(next) => setChosen({ index: next, of: answers.length })}
            />
          ) : null
        }
      />
    );
  },
  (before, after) =>
    before.last === after.last &&
    before.busy === after.busy &&
    before.stopping === after.stopping &&
    before.wantedId === after.wantedId &&
    before.mayAsk === after.mayAsk &&
    before.onRegenerate === after.onRegenerate &&
    before.questionId === after.questionId &&
    before.answers.length === after.answers.length &&
    before.answers.every((answer, nth) => sameAnswer(answer, after.answers[nth])),
);

interface AnswersProps {
  answers: readonly Answer[];
  questionId: string | null;
  /** The newest turn of the conversation. */
  last: boolean;
  /** Another answer of the conversation is being written. */
  busy: boolean;
  stopping: boolean;
  /** The message that somebody came to see. */
  wantedId: string | null;
  mayAsk: boolean;
  onRegenerate(messageId: string): void;
}

/** Turns are made anew for every frame; what they show seldom changes. */
function sameAnswer(a: Answer, b: Answer | undefined): boolean {
  return (
    b !== undefined &&
    a.id === b.id &&
    a.text === b.text &&
    a.status === b.status &&
    a.reason === b.reason &&
    a.detail === b.detail &&
    a.attempt === b.attempt &&
    a.usage === b.usage
  );
}

interface AnswerViewProps extends Omit<AnswersProps, "answers"> {
  answer: Answer;
  siblings: ReactNode;
}

function AnswerView(props: AnswerViewProps) {
  const { answer, questionId, last, busy, stopping, wantedId, mayAsk, siblings, onRegenerate } = props;
  const text = useText();
  const streaming = answer.status === "streaming";
  const shown = usePaced(answer.text, streaming);
  const open = streaming || answer.status === "queued";
  const remark = open ? null : remarkOn(answer, text);
  return (
    <article
      className={`group/answer flex gap-3.5 ${wantedId === answer.id ? "found" : ""}`}
      data-testid="message-assistant"
      data-status={answer.status}
      data-message-id={answer.id}
      data-run-id={answer.runId ?? undefined}
      aria-label={text.thread.agent}
      aria-busy={open}
    >
      <Mark className="mt-0.5 hidden h-7 w-7 shrink-0 sm:block" />
      <div className="min-w-0 flex-1">
        {shown !== "" && <Markdown text={shown} streaming={streaming && !stopping} />}
        {open && (shown === "" || stopping) && (
          <Progress
            label={
              stopping
                ? text.answer.stopping
                : streaming
                  ? text.answer.thinking
                  : busy
                    ? text.answer.queued
                    : text.answer.starting
            }
          />
        )}
        {streaming && answer.attempt > 1 && (
          <p className="mt-2 text-sm text-ink-faint">{text.answer.secondAttempt}</p>
        )}
        {remark && (
          <p
            className={`flex flex-wrap items-center gap-x-2 gap-y-1 text-sm ${shown === "" ? "" : "mt-3"} ${
              answer.status === "failed" ? "text-danger" : "text-ink-faint"
            }`}
          >
            {answer.status === "failed" && <Warning className="h-4 w-4 shrink-0" />}
            <span>{remark}</span>
            <ToMoney code={answer.reason} />
            {mayAsk && (answer.status === "failed" || shown === "") && (
              <button
                type="button"
                className="quiet-button py-1 text-accent hover:text-accent"
                data-testid="retry"
                onClick={() => onRegenerate(questionId ?? answer.id)}
              >
                <Again className="h-4 w-4" />
                {text.answer.again}
              </button>
            )}
          </p>
        )}
        {(siblings || (!open && (shown !== "" || answer.usage))) && (
          <footer
            className={`-ml-2 mt-1.5 flex items-center transition-opacity focus-within:opacity-100 group-hover/answer:opacity-100 [@media(hover:none)]:opacity-100 ${
              last || siblings ? "" : "opacity-0"
            }`}
          >
            {siblings}
            {!open && shown !== "" && <CopyButton text={answer.text} />}
            {mayAsk && !open && answer.status !== "failed" && (
              <button
                type="button"
                className="icon-button h-8 w-8"
                data-testid="regenerate"
                aria-label={text.answer.regenerate}
                title={text.answer.regenerate}
                onClick={() => onRegenerate(questionId ?? answer.id)}
              >
                <Again className="h-4 w-4" />
              </button>
            )}
            {!open && answer.usage && <Cost usage={answer.usage} />}
          </footer>
        )}
      </div>
    </article>
  );
}

/** Why the answer is as it is, where that is worth a line. */
function remarkOn({ status, reason, detail }: Answer, text: Dictionary): string | null {
  if (reason === "length") return text.answer.length;
  if (reason === "content_filter") return text.answer.filtered;
  if (reason === "budget_exhausted") return text.answer.budget;
  if (status === "cancelled") return text.answer.stopped;
  if (status !== "failed") return null;
  return reason === null || reason === "error"
    ? (detail ?? text.answer.failed)
    : explain(text, reason, detail ?? text.answer.failed);
}

function Progress({ label }: { label: string }) {
  return (
    <p className="flex h-7 items-center gap-2.5 text-ink-faint">
      <span className="flex gap-1" aria-hidden="true">
        <i className="h-1.5 w-1.5 animate-glow rounded-full bg-accent" />
        <i className="h-1.5 w-1.5 animate-glow rounded-full bg-accent [animation-delay:200ms]" />
        <i className="h-1.5 w-1.5 animate-glow rounded-full bg-accent [animation-delay:400ms]" />
      </span>
      {label}
    </p>
  );
}

export function CopyButton({ text: copied }: { text: string }) {
  const text = useText();
  const [done, copy] = useCopied();
  const label = done ? text.answer.copied : text.answer.copy;
  return (
    <button
      type="button"
      className="icon-button h-8 w-8"
      data-testid="copy-message"
      aria-label={label}
      title={label}
      onClick={() => copy(copied)}
    >
      {done ? <Check className="h-4 w-4 text-accent" /> : <Copy className="h-4 w-4" />}
    </button>
  );
}

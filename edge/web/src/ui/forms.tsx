/** What forms share: a field with its label, an action with its failure next to it. */
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { useText } from "../i18n/context";
import { explain } from "../i18n/language";
import { ApiError } from "../net/http";
import { SignedOut } from "../net/session";

/** Codes for answers that mean something of their own in one form, by HTTP status or by the name of a field. */
export type Meanings = Readonly<Record<string | number, string>>;

/** Why it failed, as a code that the dictionaries explain. */
export function failureOf(error: unknown, meanings: Meanings = {}): string {
  if (!(error instanceof ApiError)) return error instanceof SignedOut ? "unauthenticated" : "internal";
  for (const field of error.fields) {
    const named = Object.entries(meanings).find(([name]) => field.includes(name));
    if (named) return named[1];
  }
  return meanings[error.status] ?? error.code;
}

export interface Task {
  busy: boolean;
  failure: string | null;
  done: boolean;
  /** Returns whether it went well. */
  run(work: () => Promise<unknown>, meanings?: Meanings): Promise<boolean>;
  clear(): void;
}

export function useTask(): Task {
  const [state, setState] = useState({ busy: false, failure: null as string | null, done: false });
  const here = useRef(true);
  useEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
    };
  }, []);
  const run = useCallback(async (work: () => Promise<unknown>, meanings: Meanings = {}) => {
    setState({ busy: true, failure: null, done: false });
    try {
      await work();
      if (here.current) setState({ busy: false, failure: null, done: true });
      return true;
    } catch (error) {
      if (here.current) setState({ busy: false, failure: failureOf(error, meanings), done: false });
      return false;
    }
  }, []);
  const clear = useCallback(() => setState({ busy: false, failure: null, done: false }), []);
  return { ...state, run, clear };
}

/** What a page reads once, and reads again when asked to. */
export function useLoaded<T>(
  load: () => Promise<T>,
  meanings: Meanings = {},
): {
  value: T | null;
  failure: string | null;
  again(): void;
  set(value: T): void;
} {
  const [value, setValue] = useState<T | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  const meant = useRef(meanings);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, and again when asked to.
  useEffect(() => {
    let gone = false;
    latest.current().then(
      (loaded) => {
        if (gone) return;
        setValue(loaded);
        setFailure(null);
      },
      (error) => {
        if (!gone) setFailure(failureOf(error, meant.current));
      },
    );
    return () => {
      gone = true;
    };
  }, [turn]);
  return { value, failure, again: useCallback(() => setTurn((n) => n + 1), []), set: setValue };
}

export function Failure({ code, testId = "failure" }: { code: string | null; testId?: string }) {
  const text = useText();
  return (
    <p
      role="alert"
      data-testid={testId}
      className={code ? "rounded-xl bg-danger-soft px-3.5 py-2.5 text-sm text-danger" : "hidden"}
    >
      {code && explain(text, code)}
    </p>
  );
}

/** The way back where somebody else was faster: see what they have made of it. */
export function Stale({ code, onAgain }: { code: string | null; onAgain(): void }) {
  const text = useText();
  if (code !== "precondition_failed") return null;
  return (
    <button type="button" className="line-button" data-testid="load-anew" onClick={onAgain}>
      {text.project.loadAnew}
    </button>
  );
}

/** It went well. */
export function Said({ children, testId = "said" }: { children: ReactNode; testId?: string }) {
  return (
    <p
      role="status"
      data-testid={testId}
      className={children ? "rounded-xl bg-accent-soft px-3.5 py-2.5 text-sm text-accent" : "hidden"}
    >
      {children}
    </p>
  );
}

export function Field({
  label,
  hint,
  children,
}: {
  label: string;
  hint?: string | undefined;
  children: ReactNode;
}) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child.
    <label className="block">
      <span className="mb-1.5 flex justify-between gap-3 text-sm">
        <span className="min-w-0 break-words font-medium">{label}</span>
        {hint && <span className="text-right text-ink-faint">{hint}</span>}
      </span>
      {children}
    </label>
  );
}

/** A part of a page: its name, and what can be done there. */
export function Section({ title, note, children }: { title: string; note?: string; children: ReactNode }) {
  return (
    <section className="border-b border-line py-6 first:pt-2 last:border-0">
      <h2 className="font-semibold tracking-tight">{title}</h2>
      {note && <p className="mt-1 text-sm text-ink-soft">{note}</p>}
      <div className="mt-4 space-y-3">{children}</div>
    </section>
  );
}

/** What cannot be undone asks for a word to be typed. */
export function TypedConfirm({
  expected,
  label,
  button,
  testId,
  busy,
  onConfirm,
}: {
  expected: string;
  label: string;
  button: string;
  testId: string;
  busy: boolean;
  onConfirm(typed: string): void;
}) {
  const [typed, setTyped] = useState("");
  return (
    <form
      className="flex flex-col gap-2.5 sm:flex-row sm:items-end"
      onSubmit={(event) => {
        event.preventDefault();
        onConfirm(typed.trim());
      }}
    >
      <div className="flex-1">
        <Field label={label}>
          <input
            className="field"
            data-testid={`${testId}-input`}
            autoComplete="off"
            spellCheck={false}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
        </Field>
      </div>
      <button
        type="submit"
        className="danger-button h-[2.875rem]"
        data-testid={testId}
        disabled={busy || typed.trim() !== expected.trim()}
      >
        {button}
      </button>
    </form>
  );
}

/** A day and a time, as this language writes them. */
export function when(at: string, language: string, time = true): string {
  return new Intl.DateTimeFormat(language, {
    dateStyle: "medium",
    ...(time ? { timeStyle: "short" as const } : {}),
  }).format(new Date(at));
}

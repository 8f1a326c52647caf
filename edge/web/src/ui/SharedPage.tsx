import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { SharedMessage } from "../net/described";
import { shared } from "../net/threads";
import { Avatar } from "./Avatar";
import { Failure, useLoaded, useTask, when } from "./forms";
import { Mark } from "./icons";
import { Markdown } from "./Markdown";
import { LanguageSwitch, ThemeSwitch } from "./switches";

/** What a shared link shows, to whoever has it. */
export function SharedPage({ link }: { link: string }) {
  const { text, language } = useSpeech();
  const first = useLoaded(() => shared(link, null));
  const task = useTask();
  const [more, setMore] = useState<readonly SharedMessage[]>([]);
  const [cursor, setCursor] = useState<string | null | undefined>(undefined);
  const next = cursor === undefined ? (first.value?.next_cursor ?? null) : cursor;
  const gone = first.failure === "not_found";
  return (
    <div className="flex min-h-full flex-col" data-testid="shared-page">
      <header className="flex items-center gap-2 border-b border-line px-4 py-2.5">
        <Mark className="h-7 w-7" />
        <span className="flex-1 font-semibold tracking-tight">Chorus</span>
        <ThemeSwitch />
        <LanguageSwitch />
      </header>
      <main className="mx-auto w-full max-w-column flex-1 px-4 py-8 sm:px-6">
        {gone ? (
          <p className="py-16 text-center text-ink-soft" data-testid="shared-gone">
            {text.share.gone}
          </p>
        ) : (
          <Failure code={first.failure} />
        )}
        {first.value && (
          <>
            <h1 className="text-2xl font-semibold tracking-tight">
              {first.value.title || text.list.untitled}
            </h1>
            <p className="mt-1 text-sm text-ink-faint">
              {text.share.sharedAt(when(first.value.shared_at, language))}
            </p>
            <div className="mt-8 space-y-7">
              {[...first.value.messages, ...more].map((message, nth) => (
                <article key={nth} data-testid="shared-message">
                  <p className="mb-1.5 flex items-center gap-2 text-sm font-medium text-ink-soft">
                    {message.role === "user" ? (
                      <Avatar id={message.author} name={message.author} className="h-6 w-6 text-[0.625rem]" />
                    ) : (
                      <Mark className="h-6 w-6" />
                    )}
                    {message.author}
                  </p>
                  {message.deleted ? (
                    <em className="text-ink-faint">{text.answer.deleted}</em>
                  ) : message.role === "user" ? (
                    <p className="whitespace-pre-wrap break-words">{message.content}</p>
                  ) : (
                    <Markdown text={message.content} streaming={false} />
                  )}
                </article>
              ))}
            </div>
            {next !== null && (
              <button
                type="button"
                className="quiet-button mt-6 w-full justify-center"
                disabled={task.busy}
                onClick={() =>
                  void task.run(async () => {
                    const page = await shared(link, next);
                    setMore([...more, ...page.messages]);
                    setCursor(page.next_cursor);
                  })
                }
              >
                {text.share.more}
              </button>
            )}
            <Failure code={task.failure} />
          </>
        )}
        {(first.value || first.failure) && (
          <p className="mt-12 text-center">
            <a href="/" className="line-button">
              {text.share.try}
            </a>
          </p>
        )}
      </main>
    </div>
  );
}

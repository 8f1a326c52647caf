import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import type { Conversation } from "../net/protocol";
import { mayEnd } from "../state/roles";
import { Failure, useLoaded, useTask, when } from "./forms";
import { Restore } from "./icons";

/** What was deleted and can be brought back. */
export function Bin({
  client,
  role,
  userId,
}: {
  client: ChatClient;
  role: string | undefined;
  userId: string;
}) {
  const { text, language } = useSpeech();
  const task = useTask();
  const [more, setMore] = useState<Conversation[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const first = useLoaded(async () => {
    const page = await client.conversations.bin(null);
    setMore([]);
    setCursor(page.next_cursor);
    return page.data;
  });
  const list = [...(first.value ?? []), ...more];
  return (
    <div className="space-y-2 px-1" data-testid="bin">
      <p className="px-2 pt-2 text-xs text-ink-faint">{text.menu.binNote}</p>
      <Failure code={task.failure ?? first.failure} />
      {first.value !== null && list.length === 0 && (
        <p className="px-3 pt-4 text-center text-sm text-ink-faint">{text.menu.emptyBin}</p>
      )}
      <ul>
        {list.map((one) => (
          <li key={one.id} className="flex items-center gap-1 rounded-lg py-1 pl-2" data-testid="bin-item">
            <span className="min-w-0 flex-1">
              <span className="block truncate">{one.title || text.list.untitled}</span>
              {one.deleted_at && (
                <span className="block text-xs text-ink-faint">{when(one.deleted_at, language)}</span>
              )}
            </span>
            {mayEnd(role, one.created_by === userId) && (
              <button
                type="button"
                className="icon-button"
                data-testid="bin-restore"
                aria-label={`${text.list.restore}: ${one.title || text.list.untitled}`}
                title={text.list.restore}
                disabled={task.busy}
                onClick={() =>
                  void task.run(async () => {
                    await client.conversations.restore(one.id);
                    first.set((first.value ?? []).filter(({ id }) => id !== one.id));
                    setMore(more.filter(({ id }) => id !== one.id));
                  })
                }
              >
                <Restore className="h-4 w-4" />
              </button>
            )}
          </li>
        ))}
      </ul>
      {cursor !== null && (
        <button
          type="button"
          className="quiet-button w-full justify-center"
          disabled={task.busy}
          onClick={() =>
            void task.run(async () => {
              const page = await client.conversations.bin(cursor);
              setMore([...more, ...page.data]);
              setCursor(page.next_cursor);
            })
          }
        >
          {text.list.more}
        </button>
      )}
    </div>
  );
}

import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import * as threads from "../net/threads";
import { Dialog } from "./Dialog";
import { Failure, useLoaded, useTask, when } from "./forms";
import { useCopied, useStore } from "./hooks";
import { Share } from "./icons";

/** Links with which anybody reads one conversation. */
export function ShareDialog({ client, id, onClose }: { client: ChatClient; id: string; onClose(): void }) {
  const { text, language } = useSpeech();
  const { members } = useStore(client.chat);
  const [url, setUrl] = useState<string | null>(null);
  const [copied, copy] = useCopied();
  const task = useTask();
  const links = useLoaded(() => client.rest((token) => threads.shares(token, id)));

  const create = () =>
    task.run(async () => {
      const made = await client.rest((token) => threads.share(token, id));
      setUrl(new URL(made.url, location.origin).href);
      links.again();
    });
  const revoke = (shareId: string) =>
    task.run(async () => {
      await client.rest((token) => threads.revokeShare(token, id, shareId));
      setUrl(null);
      links.again();
    });

  return (
    <Dialog title={text.share.title} testId="share-dialog" onClose={onClose}>
      <div className="space-y-4">
        <p className="text-sm text-ink-soft">{text.share.lead}</p>
        {url === null ? (
          <button
            type="button"
            className="solid-button w-full"
            data-testid="share-create"
            disabled={task.busy}
            onClick={() => void create()}
          >
            <Share className="h-4 w-4" />
            {text.share.create}
          </button>
        ) : (
          <div className="space-y-1.5">
            <div className="flex gap-2">
              <input
                className="field min-w-0 flex-1 font-mono text-sm"
                readOnly
                value={url}
                aria-label={text.share.title}
                data-testid="share-url"
                onFocus={(event) => event.target.select()}
              />
              <button
                type="button"
                className="solid-button"
                data-testid="share-copy"
                onClick={() => copy(url)}
              >
                {copied ? text.share.copied : text.share.copy}
              </button>
            </div>
            <p className="text-xs text-ink-faint">{text.share.made}</p>
          </div>
        )}
        <Failure code={task.failure ?? links.failure} />
        <div>
          <h3 className="text-sm font-medium">{text.share.list}</h3>
          {links.value?.data.length === 0 && <p className="mt-1 text-sm text-ink-faint">{text.share.none}</p>}
          <ul className="mt-1 divide-y divide-line">
            {links.value?.data.map((one) => (
              <li key={one.id} className="flex items-center gap-3 py-1.5 text-sm" data-testid="share-item">
                <span className="min-w-0 flex-1 truncate text-ink-soft">
                  {text.share.by(
                    members[one.created_by]?.display_name ?? text.thread.member,
                    when(one.created_at, language),
                  )}
                </span>
                <button
                  type="button"
                  className="quiet-button text-danger hover:text-danger"
                  data-testid="share-revoke"
                  disabled={task.busy}
                  onClick={() => void revoke(one.id)}
                >
                  {text.share.revoke}
                </button>
              </li>
            ))}
          </ul>
        </div>
      </div>
    </Dialog>
  );
}

import { useText } from "../i18n/context";
import { explain } from "../i18n/language";
import type { Notice } from "../net/notices";
import { Close } from "./icons";

export function Notices({ notices, onDismiss }: { notices: readonly Notice[]; onDismiss(id: string): void }) {
  const text = useText();
  return (
    <div
      className="pointer-events-none fixed inset-x-0 bottom-28 z-40 flex flex-col items-center gap-2 px-4 md:left-72"
      role="status"
    >
      {notices.map((notice) => (
        <div
          key={notice.id}
          data-testid="notice"
          data-kind={notice.kind}
          className="pointer-events-auto flex max-w-full animate-rise items-center gap-1 rounded-xl bg-ink py-1.5 pl-4 pr-1.5 text-sm text-canvas shadow-float"
        >
          <span className="mr-2">
            {notice.kind === "error" ? explain(text, notice.code ?? "") : text.notice[notice.kind]}
          </span>
          {notice.undo !== null && (
            <button
              type="button"
              data-testid="undo"
              className="rounded-lg px-2.5 py-1.5 font-semibold hover:bg-canvas/15"
              onClick={() => {
                notice.undo?.();
                onDismiss(notice.id);
              }}
            >
              {text.notice.undo}
            </button>
          )}
          <button
            type="button"
            aria-label={text.notice.dismiss}
            className="rounded-lg p-1.5 opacity-70 hover:bg-canvas/15 hover:opacity-100"
            onClick={() => onDismiss(notice.id)}
          >
            <Close className="h-4 w-4" />
          </button>
        </div>
      ))}
    </div>
  );
}

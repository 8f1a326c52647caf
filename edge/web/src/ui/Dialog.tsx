/** A window over the page. The browser's own dialog brings the top layer, Esc, and that nothing behind it is reached. */
import { type ReactNode, useEffect, useId, useRef } from "react";
import { useText } from "../i18n/context";
import { Close } from "./icons";

export function Dialog({
  title,
  testId,
  wide = false,
  top = false,
  children,
  onClose,
}: {
  title: string;
  testId: string;
  wide?: boolean;
  /** Near the top, for what grows while one looks at it. */
  top?: boolean;
  children: ReactNode;
  onClose(): void;
}) {
  const text = useText();
  const box = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc closes it as well.
    <dialog
      ref={box}
      data-testid={testId}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
      className={`thin-scroll ${top ? "mx-auto mt-[8dvh]" : "m-auto"} max-h-[min(90dvh,48rem)] w-[calc(100vw-1.5rem)] overflow-y-auto rounded-2xl border border-line bg-raised p-0 text-ink shadow-float backdrop:bg-black/40 ${
        wide ? "max-w-2xl" : "max-w-md"
      }`}
    >
      <div className="p-5">
        <header className="mb-3 flex items-start gap-2">
          <h2 id={titleId} className="flex-1 text-lg font-semibold leading-snug tracking-tight">
            {title}
          </h2>
          <button
            type="button"
            className="icon-button -mr-1.5 -mt-1.5"
            aria-label={text.dialog.close}
            data-testid="dialog-close"
            onClick={onClose}
          >
            <Close />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** A menu under its button. The browser's own popover brings the top layer, Esc and closing by a click elsewhere. */
import { type KeyboardEvent, type ReactNode, useId, useRef, useState } from "react";

interface PopoverProps {
  label: string;
  icon: ReactNode;
  testId: string;
  className?: string;
  children: ReactNode;
}

export function PopoverMenu({ label, icon, testId, className = "icon-button", children }: PopoverProps) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);

  /** Below the button, or above it where there is no room; never outside the window. */
  function place() {
    if (button.current === null || menu.current === null) return;
    const at = button.current.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu.current;
    const below = at.bottom + 4 + height <= window.innerHeight - 8;
    menu.current.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - 4 - height)}px`;
    menu.current.style.left = `${Math.max(8, Math.min(at.right - width, window.innerWidth - width - 8))}px`;
  }

  function move(event: KeyboardEvent) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const items = [...(menu.current?.querySelectorAll<HTMLElement>("[role^=menuitem]") ?? [])];
    const step = event.key === "ArrowDown" ? 1 : -1;
    const at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + step + items.length) % items.length]?.focus();
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        className={className}
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        data-testid={testId}
        popoverTarget={id}
      >
        {icon}
      </button>
      <div
        ref={menu}
        id={id}
        popover="auto"
        role="menu"
        tabIndex={-1}
        aria-label={label}
        className="fixed inset-auto m-0 min-w-[11rem] rounded-xl border border-line bg-raised p-1 text-ink shadow-float"
        onKeyDown={move}
        onClick={() => menu.current?.hidePopover()}
        onBeforeToggle={(event) => setOpen(event.newState === "open")}
        onToggle={(event) => {
          if (event.newState !== "open") return;
          place();
          menu.current?.querySelector<HTMLElement>("[role^=menuitem]")?.focus();
        }}
      >
        {open && children}
      </div>
    </>
  );
}

interface ItemProps {
  testId: string;
  icon?: ReactNode;
  danger?: boolean;
  children: ReactNode;
  onSelect(): void;
}

export function MenuItem({ testId, icon, danger = false, children, onSelect }: ItemProps) {
  return (
    <button
      type="button"
      role="menuitem"
      data-testid={testId}
      onClick={onSelect}
      className={`flex w-full items-center gap-2.5 rounded-lg px-2.5 py-2 text-left text-sm hover:bg-ink/[0.06] focus-visible:bg-ink/[0.06] focus-visible:ring-0 focus-visible:ring-offset-0 ${
        danger ? "text-danger" : ""
      }`}
    >
      {icon}
      {children}
    </button>
  );
}

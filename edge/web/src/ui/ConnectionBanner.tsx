import { type ReactNode, useEffect, useRef, useState } from "react";
import { useText } from "../i18n/context";
import type { Link } from "../net/connection";
import { CLOSE_CODES } from "../net/words";

/** The first connection of a page takes a moment, which is nobody's business; the loss of one is. */
const PATIENCE_MS = 1_500;
const BACK_MS = 2_000;

type Shown = "nothing" | "trouble" | "back";

export function ConnectionBanner({ link, onAgain }: { link: Link; onAgain(): void }) {
  const text = useText();
  const [shown, setShown] = useState<Shown>("nothing");
  const [offline, setOffline] = useState(!navigator.onLine);

  useEffect(() => {
    const changed = () => setOffline(!navigator.onLine);
    window.addEventListener("online", changed);
    window.addEventListener("offline", changed);
    return () => {
      window.removeEventListener("online", changed);
      window.removeEventListener("offline", changed);
    };
  }, []);

  const up = link.phase === "online";
  const wasUp = useRef(false);
  useEffect(() => {
    if (up) {
      wasUp.current = true;
      setShown((before) => (before === "trouble" ? "back" : "nothing"));
      const timer = window.setTimeout(() => setShown("nothing"), BACK_MS);
      return () => window.clearTimeout(timer);
    }
    const timer = window.setTimeout(() => setShown("trouble"), wasUp.current ? 0 : PATIENCE_MS);
    return () => window.clearTimeout(timer);
  }, [up]);

  return (
    <div
      className="pointer-events-none absolute inset-x-0 top-14 z-20 flex justify-center px-4"
      role="status"
    >
      {link.phase === "stopped" ? (
        <Pill tone="bg-danger-soft text-danger" state="stopped">
          {link.code === CLOSE_CODES.TOO_MANY_CONNECTIONS
            ? text.link.crowded
            : link.code === CLOSE_CODES.BAD_TOKEN || link.code === CLOSE_CODES.REVOKED
              ? text.link.session
              : text.link.stopped}
          <button type="button" className="font-semibold underline underline-offset-2" onClick={onAgain}>
            {text.link.again}
          </button>
        </Pill>
      ) : shown === "trouble" ? (
        <Pill tone="bg-warn-soft text-warn" state={offline ? "offline" : "reconnecting"}>
          <i className="h-2 w-2 animate-glow rounded-full bg-current" aria-hidden="true" />
          {offline ? text.link.offline : text.link.reconnecting}
          <span className="hidden opacity-80 sm:inline">{text.link.offlineNote}</span>
        </Pill>
      ) : shown === "back" ? (
        <Pill tone="bg-accent-soft text-accent" state="back">
          {text.link.back}
        </Pill>
      ) : null}
    </div>
  );
}

function Pill({ tone, state, children }: { tone: string; state: string; children: ReactNode }) {
  return (
    <div
      data-testid="connection-banner"
      data-state={state}
      className={`pointer-events-auto flex animate-rise items-center gap-2.5 rounded-full px-4 py-1.5 text-sm font-medium shadow-card ${tone}`}
    >
      {children}
    </div>
  );
}

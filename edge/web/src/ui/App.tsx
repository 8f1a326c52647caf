import { lazy, useCallback, useEffect, useState } from "react";
import { useText } from "../i18n/context";
import { ApiError } from "../net/http";
import { preferProject } from "../net/preferred";
import type { User } from "../net/protocol";
import { type Farewell, Session, SignedOut } from "../net/session";
import { AuthPage } from "./AuthPage";
import { Part } from "./Part";
import { errorIn } from "./providers";
import { Waiting } from "./Waiting";

const chat = () => import("./SignedIn");
const SignedIn = lazy(async () => ({ default: (await chat()).SignedIn }));
const SharedPage = lazy(async () => ({ default: (await import("./SharedPage")).SharedPage }));
const mailed = () => import("./MailedPages");
const ResetPage = lazy(async () => ({ default: (await mailed()).ResetPage }));
const VerifyPage = lazy(async () => ({ default: (await mailed()).VerifyPage }));
const InvitationPage = lazy(async () => ({ default: (await mailed()).InvitationPage }));

/** `asking`: a token is remembered, and the server has yet to say whose. */
type Who = "asking" | "nobody" | User;

/** While the server cannot be reached at the first load. */
const ASK_AGAIN_MS = 2_000;

export function App() {
  const shared = /^\/shared\/([^/]+)\/?$/.exec(location.pathname)?.[1];
  return (
    <Part waiting={<Waiting />}>
      {shared === undefined ? <Entrance /> : <SharedPage link={decodeURIComponent(shared)} />}
    </Part>
  );
}

/** `#token=…` */
const tokenIn = (hash: string): string | null => new URLSearchParams(hash.slice(1)).get("token");

/** Kept in this tab while it is loaded anew, or away to a provider to sign in. */
const linkKey = (path: string) => `chorus.link.${path}`;

/** Where a link in a mail led; its token is taken out of the address at once. */
function arrival(): { path: string; token: string | null; failed: string | null } {
  const path = location.pathname.replace(/\/$/, "");
  const key = linkKey(path);
  const given = tokenIn(location.hash);
  if (given !== null) sessionStorage.setItem(key, given);
  const token = sessionStorage.getItem(key);
  const failed = errorIn(location.search);
  if (failed !== null) Session.cameBackEmpty();
  if (given !== null) history.replaceState(null, "", path);
  if (failed !== null) history.replaceState(null, "", "/");
  return { path, token, failed };
}

const ARRIVED = arrival();

function Entrance() {
  const text = useText();
  const [path, setPath] = useState(ARRIVED.path);
  const [who, setWho] = useState<Who>(() => (Session.remembered() ? "asking" : "nobody"));
  const [farewell, setFarewell] = useState<Farewell | null>(null);
  const [session] = useState(
    () =>
      new Session((why) => {
        setFarewell(why);
        setWho("nobody");
      }),
  );

  // Whoever is in, or about to come in, needs it next.
  useEffect(() => void chat().catch(() => undefined), []);

  useEffect(() => {
    if (who !== "asking") return;
    let timer = 0;
    let gone = false;
    const ask = async () => {
      try {
        const user = await session.me();
        if (!gone) setWho(user);
      } catch (error) {
        if (gone) return;
        const signedOut = error instanceof SignedOut || (error instanceof ApiError && error.status === 401);
        if (signedOut) setWho("nobody");
        else timer = window.setTimeout(() => void ask(), ASK_AGAIN_MS);
      }
    };
    void ask();
    return () => {
      gone = true;
      window.clearTimeout(timer);
    };
  }, [who, session]);

  const enter = useCallback(() => {
    sessionStorage.removeItem(linkKey(ARRIVED.path));
    history.replaceState(null, "", "/");
    setPath("");
  }, []);
  const joined = useCallback(
    (projectId: string | null) => {
      if (projectId !== null && typeof who === "object") preferProject(who.id, projectId);
      enter();
    },
    [enter, who],
  );

  if (path === "/reset")
    return (
      <ResetPage
        token={ARRIVED.token}
        onDone={() => {
          session.end("reset");
          enter();
        }}
      />
    );
  if (who === "asking") return <Waiting />;
  if (who === "nobody")
    return (
      <AuthPage
        session={session}
        note={
          path === "/invitations"
            ? text.note.invited
            : path === "/verify"
              ? text.note.verify
              : farewell && text.note[farewell]
        }
        failed={ARRIVED.failed}
        onEntered={(user) => {
          setFarewell(null);
          setWho(user);
        }}
      />
    );
  if (path === "/verify") return <VerifyPage token={ARRIVED.token} session={session} onDone={enter} />;
  if (path === "/invitations")
    return <InvitationPage token={ARRIVED.token} session={session} onDone={joined} />;
  return (
    <SignedIn
      key={who.id}
      session={session}
      user={who}
      failed={ARRIVED.failed}
      onSignedOut={(why) => {
        setFarewell(why);
        setWho("nobody");
      }}
    />
  );
}

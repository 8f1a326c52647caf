import { useCallback, useEffect, useState } from "react";
import { useText } from "../i18n/context";
import { ChatClient, preferProject } from "../net/client";
import { ApiError } from "../net/http";
import type { User } from "../net/protocol";
import { type Farewell, Session, SignedOut } from "../net/session";
import { AuthPage } from "./AuthPage";
import { ChatPage } from "./ChatPage";
import { Mark } from "./icons";
import { InvitationPage, ResetPage, tokenIn, VerifyPage } from "./MailedPages";
import { errorIn } from "./providers";
import { SharedPage } from "./SharedPage";

/** `asking`: a token is remembered, and the server has yet to say whose. */
type Who = "asking" | "nobody" | User;

/** While the server cannot be reached at the first load. */
const ASK_AGAIN_MS = 2_000;

export function App() {
  const shared = /^\/shared\/([^/]+)\/?$/.exec(location.pathname)?.[1];
  return shared === undefined ? <Entrance /> : <SharedPage link={decodeURIComponent(shared)} />;
}

/** Where a link in a mail led; its token is taken out of the address at once. */
function arrival(): { path: string; token: string | null; failed: string | null } {
  const path = location.pathname.replace(/\/$/, "");
  const token = tokenIn(location.hash);
  const failed = errorIn(location.search);
  if (failed !== null) Session.cameBackEmpty();
  if (token !== null) history.replaceState(null, "", path);
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
  if (path === "/verify") return <VerifyPage token={ARRIVED.token} onDone={enter} />;
  if (who === "asking") return <Waiting />;
  if (who === "nobody")
    return (
      <AuthPage
        session={session}
        note={path === "/invitations" ? text.note.invited : farewell === null ? null : text.note[farewell]}
        failed={ARRIVED.failed}
        onEntered={(user) => {
          setFarewell(null);
          setWho(user);
        }}
      />
    );
  if (path === "/invitations")
    return <InvitationPage token={ARRIVED.token} session={session} onDone={joined} />;
  return (
    <SignedIn
      key={who.id}
      session={session}
      user={who}
      onSignedOut={(why) => {
        setFarewell(why);
        setWho("nobody");
      }}
    />
  );
}

function SignedIn({
  session,
  user,
  onSignedOut,
}: {
  session: Session;
  user: User;
  onSignedOut(why: Farewell | null): void;
}) {
  const [client, setClient] = useState<ChatClient | null>(null);
  useEffect(() => {
    const mine = new ChatClient(session, user, () => session.end("signedOut"));
    mine.start();
    if (ARRIVED.failed !== null) mine.notices.fail(ARRIVED.failed);
    setClient(mine);
    return () => mine.stop();
  }, [session, user]);

  if (client === null) return <Waiting />;
  const leave = (why: Farewell | null) => {
    client.stop();
    client.forgetPerson();
    void session.signOut();
    location.hash = "#/";
    onSignedOut(why);
  };
  return (
    <ChatPage
      client={client}
      session={session}
      onSignOut={() => leave(null)}
      onGone={() => leave("farewell")}
    />
  );
}

function Waiting() {
  const text = useText();
  return (
    <main className="flex h-full items-center justify-center" aria-busy="true">
      <Mark className="h-12 w-12 animate-glow" />
      <span className="sr-only">{text.loading}</span>
    </main>
  );
}

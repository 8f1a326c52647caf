import { useEffect, useState } from "react";
import { useText } from "../i18n/context";
import { ApiError } from "../net/api";
import { ChatClient } from "../net/client";
import type { User } from "../net/protocol";
import { Session, SignedOut } from "../net/session";
import { AuthPage } from "./AuthPage";
import { ChatPage } from "./ChatPage";
import { Mark } from "./icons";

/** `asking`: a token is remembered, and the server has yet to say whose. */
type Who = "asking" | "nobody" | User;

/** While the server cannot be reached at the first load. */
const ASK_AGAIN_MS = 2_000;

export function App() {
  const [who, setWho] = useState<Who>(Session.remembered() ? "asking" : "nobody");
  const [session] = useState(() => new Session(() => setWho("nobody")));

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

  if (who === "asking") return <Waiting />;
  if (who === "nobody") return <AuthPage session={session} onEntered={setWho} />;
  return <SignedIn key={who.id} session={session} user={who} onSignedOut={() => setWho("nobody")} />;
}

function SignedIn({ session, user, onSignedOut }: { session: Session; user: User; onSignedOut(): void }) {
  const [client, setClient] = useState<ChatClient | null>(null);
  useEffect(() => {
    const mine = new ChatClient(session, user);
    mine.start();
    setClient(mine);
    return () => mine.stop();
  }, [session, user]);

  if (client === null) return <Waiting />;
  return (
    <ChatPage
      client={client}
      onSignOut={() => {
        client.stop();
        client.forgetPerson();
        void session.signOut();
        onSignedOut();
      }}
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

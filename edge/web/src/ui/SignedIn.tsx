import { useEffect, useState } from "react";
import { ChatClient } from "../net/client";
import type { User } from "../net/protocol";
import type { Farewell, Session } from "../net/session";
import { ChatPage } from "./ChatPage";
import { Waiting } from "./Waiting";

// The first answer will need it.
void import("./Prose").catch(() => undefined);

export function SignedIn({
  session,
  user,
  failed,
  onSignedOut,
}: {
  session: Session;
  user: User;
  /** A code: why a way back from a provider did not work. */
  failed: string | null;
  onSignedOut(why: Farewell | null): void;
}) {
  const [client, setClient] = useState<ChatClient | null>(null);
  useEffect(() => {
    const mine = new ChatClient(session, user, () => session.end("signedOut"));
    mine.start();
    if (failed !== null) mine.notices.fail(failed);
    setClient(mine);
    return () => mine.stop();
  }, [session, user, failed]);

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

/** Where links in mails lead. Their tokens stand behind the #, where no server sees them. */
import { useEffect, useRef } from "react";
import { useText } from "../i18n/context";
import * as api from "../net/api";
import * as projects from "../net/projects";
import type { Session } from "../net/session";
import { EntryFrame, PasswordField } from "./EntryFrame";
import { Failure, useTask } from "./forms";

export function ResetPage({ token, onDone }: { token: string | null; onDone(): void }) {
  const text = useText();
  const task = useTask();
  if (token === null) return <NoToken />;
  return (
    <EntryFrame title={text.enter.resetTitle} lead={text.enter.resetLead}>
      <form
        className="mt-7 space-y-4"
        noValidate
        onSubmit={async (event) => {
          event.preventDefault();
          const password = String(new FormData(event.currentTarget).get("password") ?? "");
          if (
            await task.run(() => api.reset(token, password), { token: "used_link", password: "bad_password" })
          )
            onDone();
        }}
      >
        <PasswordField
          label={text.enter.newPassword}
          hint={text.auth.passwordHint}
          name="password"
          fresh
          testId="reset-password"
        />
        <Failure code={task.failure} />
        <button
          type="submit"
          className="solid-button w-full py-2.5"
          disabled={task.busy}
          data-testid="reset-submit"
        >
          {text.enter.setPassword}
        </button>
        {task.failure === "used_link" && (
          <a href="/" className="quiet-button w-full justify-center">
            {text.enter.backToSignIn}
          </a>
        )}
      </form>
    </EntryFrame>
  );
}

/** Of those who are signed in: nobody vouches for an account by a click that is not theirs. */
export function VerifyPage({
  token,
  session,
  onDone,
}: {
  token: string | null;
  session: Session;
  onDone(): void;
}) {
  const text = useText();
  const { run, ...task } = useTask();
  // A link works once: asked twice, it would say that it was used.
  const asked = useRef(false);
  useEffect(() => {
    if (token === null || asked.current) return;
    asked.current = true;
    void run(async () => api.verifyEmail(await session.token(), token), { 422: "used_link" });
  }, [run, session, token]);
  if (token === null) return <NoToken />;
  return (
    <EntryFrame title={task.done ? text.enter.verified : task.failure ? "" : text.enter.verifying}>
      <div className="mt-6 space-y-4" data-testid={task.done ? "verified" : undefined}>
        <Failure code={task.failure} />
        {(task.done || task.failure) && (
          <button type="button" className="solid-button w-full py-2.5" onClick={onDone}>
            {text.enter.toChorus}
          </button>
        )}
      </div>
    </EntryFrame>
  );
}

/** Of those who are signed in. */
export function InvitationPage({
  token,
  session,
  onDone,
}: {
  token: string | null;
  session: Session;
  onDone(projectId: string | null): void;
}) {
  const text = useText();
  const { run, ...task } = useTask();
  const asked = useRef(false);
  useEffect(() => {
    if (token === null || asked.current) return;
    asked.current = true;
    void run(async () => onDone((await projects.accept(await session.token(), token)).id), {
      422: "used_link",
      404: "used_link",
    });
  }, [onDone, run, session, token]);
  if (token === null) return <NoToken />;
  return (
    <EntryFrame title={task.failure ? "" : text.enter.joining}>
      <div className="mt-6 space-y-4">
        <Failure code={task.failure} />
        {task.failure && (
          <button type="button" className="solid-button w-full py-2.5" onClick={() => onDone(null)}>
            {text.enter.toChorus}
          </button>
        )}
      </div>
    </EntryFrame>
  );
}

function NoToken() {
  const text = useText();
  return (
    <EntryFrame title={text.enter.noToken}>
      <a href="/" className="solid-button mt-6 w-full py-2.5">
        {text.enter.toChorus}
      </a>
    </EntryFrame>
  );
}

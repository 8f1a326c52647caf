import { type FormEvent, useEffect, useId, useState } from "react";
import { useText } from "../i18n/context";
import { explain } from "../i18n/language";
import * as api from "../net/api";
import type { User } from "../net/protocol";
import { Session } from "../net/session";
import { type AuthMode, authFailure } from "./authFailure";
import { EntryFrame, PasswordField } from "./EntryFrame";
import { Failure, Field, Said, useTask } from "./forms";
import { providerName } from "./providers";

interface Props {
  session: Session;
  /** What to say first. */
  note: string | null;
  /** A code: why the way in did not work before. */
  failed: string | null;
  onEntered(user: User): void;
}

export function AuthPage({ session, note, failed, onEntered }: Props) {
  const text = useText();
  const [mode, setMode] = useState<AuthMode>("signIn");
  const [forgotten, setForgotten] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(failed);
  const [providers, setProviders] = useState<readonly string[]>([]);
  const failureId = useId();
  const signingUp = mode === "signUp";
  // What went wrong before this page is said before what it asks.
  const early = failure !== null && failure === failed;

  useEffect(() => {
    api.config().then(
      (config) => setProviders(config.oauth_providers),
      () => undefined,
    );
  }, []);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const value = (name: string) => String(fields.get(name) ?? "");
    setBusy(true);
    setFailure(null);
    try {
      const email = value("email").trim();
      onEntered(
        signingUp
          ? await session.signUp(email, value("password"), value("name").trim())
          : await session.signIn(email, value("password")),
      );
    } catch (error) {
      setFailure(authFailure(error, mode));
      setBusy(false);
    }
  }

  if (forgotten) return <ForgotPage onBack={() => setForgotten(false)} />;
  return (
    <EntryFrame
      title={signingUp ? text.auth.signUpTitle : text.auth.signInTitle}
      lead={signingUp ? text.auth.signUpLead : text.auth.signInLead}
    >
      {note && (
        <div className="mt-5">
          <Said testId="auth-note">{note}</Said>
        </div>
      )}
      {early && (
        <div className="mt-5">
          <Failure code={failure} testId="auth-failure" />
        </div>
      )}
      {providers.length > 0 && (
        <div className="mt-7 space-y-2.5">
          {providers.map((provider) => (
            <button
              key={provider}
              type="button"
              className="line-button w-full py-2.5"
              data-testid={`auth-with-${provider}`}
              onClick={() => Session.leaveFor(provider, location.pathname)}
            >
              {text.enter.with(providerName(provider))}
            </button>
          ))}
          <p className="flex items-center gap-3 pt-3 text-xs text-ink-faint before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">
            {text.enter.or}
          </p>
        </div>
      )}
      <form onSubmit={submit} className="mt-7 space-y-4" noValidate aria-describedby={failureId}>
        {signingUp && (
          <Field label={text.auth.name}>
            <input className="field" name="name" autoComplete="name" data-testid="auth-name" maxLength={80} />
          </Field>
        )}
        <Field label={text.auth.email}>
          <input
            className="field"
            name="email"
            type="email"
            autoComplete="email"
            inputMode="email"
            autoCapitalize="none"
            spellCheck={false}
            data-testid="auth-email"
          />
        </Field>
        <PasswordField
          label={text.auth.password}
          hint={signingUp ? text.auth.passwordHint : undefined}
          name="password"
          fresh={signingUp}
          testId="auth-password"
        />
        <p
          id={failureId}
          role="alert"
          data-testid={early ? undefined : "auth-failure"}
          className={
            failure && !early ? "rounded-xl bg-danger-soft px-3.5 py-2.5 text-sm text-danger" : "hidden"
          }
        >
          {failure && !early && explain(text, failure)}
        </p>
        <button
          type="submit"
          disabled={busy}
          data-testid="auth-submit"
          className="w-full rounded-xl bg-accent px-4 py-2.5 font-medium text-accent-ink transition-opacity hover:opacity-90 disabled:opacity-60"
        >
          {busy ? text.auth.working : signingUp ? text.auth.signUp : text.auth.signIn}
        </button>
      </form>

      <p className="mt-6 flex flex-wrap justify-between gap-x-4 gap-y-2 text-sm text-ink-soft">
        <span>
          {signingUp ? text.auth.toSignIn : text.auth.toSignUp}{" "}
          <button
            type="button"
            data-testid="auth-switch"
            className="rounded font-medium text-accent underline-offset-4 hover:underline"
            onClick={() => {
              setMode(signingUp ? "signIn" : "signUp");
              setFailure(null);
            }}
          >
            {signingUp ? text.auth.signIn : text.auth.signUp}
          </button>
        </span>
        {!signingUp && (
          <button
            type="button"
            data-testid="auth-forgot"
            className="rounded font-medium text-ink-soft underline-offset-4 hover:underline"
            onClick={() => setForgotten(true)}
          >
            {text.enter.forgot}
          </button>
        )}
      </p>
    </EntryFrame>
  );
}

function ForgotPage({ onBack }: { onBack(): void }) {
  const text = useText();
  const task = useTask();
  return (
    <EntryFrame title={text.enter.forgotTitle} lead={text.enter.forgotLead}>
      <form
        className="mt-7 space-y-4"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const email = String(new FormData(event.currentTarget).get("email") ?? "").trim();
          void task.run(() => api.forgot(email), { 422: "bad_email" });
        }}
      >
        <Field label={text.auth.email}>
          <input
            className="field"
            name="email"
            type="email"
            autoComplete="email"
            inputMode="email"
            autoCapitalize="none"
            spellCheck={false}
            data-testid="forgot-email"
          />
        </Field>
        <Failure code={task.failure} />
        <Said testId="forgot-sent">{task.done && text.enter.linkSent}</Said>
        <button
          type="submit"
          className="solid-button w-full py-2.5"
          disabled={task.busy}
          data-testid="forgot-submit"
        >
          {text.enter.sendLink}
        </button>
        <button type="button" className="quiet-button w-full justify-center" onClick={onBack}>
          {text.enter.backToSignIn}
        </button>
      </form>
    </EntryFrame>
  );
}

import { type FormEvent, type ReactNode, useId, useState } from "react";
import { useText } from "../i18n/context";
import { explain } from "../i18n/language";
import type { User } from "../net/protocol";
import type { Session } from "../net/session";
import { type AuthMode, authFailure } from "./authFailure";
import { Eye, Mark } from "./icons";
import { LanguageSwitch, ThemeSwitch } from "./switches";

export function AuthPage({ session, onEntered }: { session: Session; onEntered(user: User): void }) {
  const text = useText();
  const [mode, setMode] = useState<AuthMode>("signIn");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const [shown, setShown] = useState(false);
  const failureId = useId();
  const signingUp = mode === "signUp";

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

  return (
    <div className="flex min-h-full flex-col">
      <header className="flex items-center justify-end gap-1 p-3">
        <ThemeSwitch />
        <LanguageSwitch />
      </header>
      <main className="flex flex-1 items-start justify-center px-5 pb-16 pt-[6vh] sm:items-center sm:pt-0">
        <div className="w-full max-w-sm animate-rise">
          <div className="mb-10 flex items-center gap-3">
            <Mark className="h-10 w-10" />
            <div>
              <p className="text-lg font-semibold leading-tight tracking-tight">Chorus</p>
              <p className="text-sm leading-tight text-ink-faint">{text.auth.tagline}</p>
            </div>
          </div>
          <h1 className="text-2xl font-semibold tracking-tight">
            {signingUp ? text.auth.signUpTitle : text.auth.signInTitle}
          </h1>
          <p className="mt-1 text-ink-soft">{signingUp ? text.auth.signUpLead : text.auth.signInLead}</p>

          <form onSubmit={submit} className="mt-7 space-y-4" noValidate aria-describedby={failureId}>
            {signingUp && (
              <Field label={text.auth.name}>
                <input
                  className="field"
                  name="name"
                  autoComplete="name"
                  data-testid="auth-name"
                  maxLength={80}
                />
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
            <Field label={text.auth.password} hint={signingUp ? text.auth.passwordHint : undefined}>
              <div className="relative">
                <input
                  className="field pr-11"
                  name="password"
                  type={shown ? "text" : "password"}
                  autoComplete={signingUp ? "new-password" : "current-password"}
                  data-testid="auth-password"
                />
                <button
                  type="button"
                  className={`icon-button absolute right-1 top-1/2 -translate-y-1/2 ${shown ? "text-accent" : ""}`}
                  aria-label={shown ? text.auth.hidePassword : text.auth.showPassword}
                  aria-pressed={shown}
                  onClick={() => setShown(!shown)}
                >
                  <Eye />
                </button>
              </div>
            </Field>
            <p
              id={failureId}
              role="alert"
              data-testid="auth-failure"
              className={failure ? "rounded-xl bg-danger-soft px-3.5 py-2.5 text-sm text-danger" : "hidden"}
            >
              {failure && explain(text, failure)}
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

          <p className="mt-6 text-sm text-ink-soft">
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
          </p>
        </div>
      </main>
    </div>
  );
}

function Field({ label, hint, children }: { label: string; hint?: string | undefined; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child.
    <label className="block">
      <span className="mb-1.5 flex justify-between text-sm">
        <span className="font-medium">{label}</span>
        {hint && <span className="text-ink-faint">{hint}</span>}
      </span>
      {children}
    </label>
  );
}

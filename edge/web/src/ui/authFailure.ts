import { ApiError } from "../net/http";

export type AuthMode = "signIn" | "signUp";

/** Why signing in or up failed, as a code that the dictionaries explain. */
export function authFailure(error: unknown, mode: AuthMode): string {
  if (!(error instanceof ApiError)) return "internal";
  if (mode === "signIn" && (error.status === 401 || error.status === 422)) return "wrong_password";
  if (error.status === 409) return "email_taken";
  const named = (field: string) => error.fields.some((one) => one.includes(field));
  if (named("email")) return "bad_email";
  if (named("password")) return "bad_password";
  if (named("display_name")) return "bad_name";
  return error.code;
}

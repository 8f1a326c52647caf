/** Other places to sign in with, and what their returns say. */

const NAMES: Record<string, string> = { google: "Google", facebook: "Facebook", tiktok: "TikTok" };

export const providerName = (provider: string): string => NAMES[provider] ?? provider;

const ERRORS: Record<string, string> = {
  denied: "oauth_denied",
  expired: "oauth_state",
  provider_failed: "oauth_failed",
  provider_unavailable: "oauth_failed",
  email_taken: "oauth_email",
  identity_taken: "oauth_taken",
  provider_taken: "oauth_taken",
};

/** `/?error=…` as a code that the dictionaries explain; null where there is none. */
export function errorIn(search: string): string | null {
  const code = new URLSearchParams(search).get("error");
  return code === null ? null : (ERRORS[code] ?? code);
}

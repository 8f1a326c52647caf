/** Which project to show first to somebody. */
const key = (userId: string) => `chorus.project.${userId}`;

export const preferredProject = (userId: string): string | null => localStorage.getItem(key(userId));

export const preferProject = (userId: string, projectId: string): void =>
  localStorage.setItem(key(userId), projectId);

export const forgetPreferred = (userId: string): void => localStorage.removeItem(key(userId));

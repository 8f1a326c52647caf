/** What becomes of conversations: named, pinned, put away, deleted and brought back. */
import { type Action, type Chat, titleOf } from "../state/chat";
import type { Store } from "../state/store";
import * as api from "./api";
import { Refused } from "./connection";
import { fileName, saveAs } from "./files";
import { NOTICE_MS, type Notices } from "./notices";
import type { Command, Conversation } from "./protocol";
import * as threadsApi from "./threads";

interface Parts {
  chat: Store<Chat>;
  notices: Notices;
  dispatch(action: Action): void;
  /** Asked again after a lost connection. */
  ask(command: Command): Promise<object>;
  rest<T>(work: (token: string) => Promise<T>): Promise<T>;
  /** For a page that is being left: no time to get another. */
  tokenAtHand(): string | null;
  reload(): Promise<void>;
}

export class Conversations {
  private readonly deletions = new Map<string, number>();

  constructor(private readonly parts: Parts) {}

  rename(id: string, title: string): void {
    void this.change(id, { title });
  }

  archive(id: string, archived: boolean): void {
    void this.change(id, { archived });
    this.parts.notices.tell(
      archived ? "archived" : "restored",
      () => void this.change(id, { archived: !archived }),
    );
  }

  /** Shown at once, taken back where the server refuses. */
  private async change(
    id: string,
    change: Partial<Pick<Conversation, "archived" | "agent_id">> & { title?: string },
  ): Promise<void> {
    const before = this.parts.chat.get().conversations[id];
    if (before === undefined) return;
    this.parts.dispatch({ type: "changed", id, change });
    try {
      await this.parts.ask({ type: "conversation.update", conversation_id: id, ...change });
    } catch (error) {
      this.parts.dispatch({ type: "changed", id, change: before });
      this.parts.notices.complain(error);
    }
  }

  /** Who answers in this conversation; null: nobody. */
  letAnswer(id: string, agentId: string | null): void {
    void this.change(id, { agent_id: agentId });
  }

  async pin(id: string, pinned: boolean): Promise<void> {
    this.parts.dispatch({ type: "changed", id, change: { pinned } });
    try {
      await this.parts.rest((token) => threadsApi.pin(token, id, pinned));
    } catch (error) {
      this.parts.dispatch({ type: "changed", id, change: { pinned: !pinned } });
      this.parts.notices.complain(error);
    }
  }

  /** The conversations of this project that can still be brought back. */
  async bin(cursor: string | null) {
    const { projectId } = this.parts.chat.get();
    return this.parts.rest((token) => api.conversations(token, projectId ?? "", { deleted: true }, cursor));
  }

  async restore(id: string): Promise<void> {
    const conversation = await this.parts.rest((token) => threadsApi.restore(token, id));
    if ("project_id" in conversation) this.parts.dispatch({ type: "found", conversations: [conversation] });
    else await this.parts.reload();
  }

  async takeHome(id: string, format: threadsApi.ExportFormat): Promise<void> {
    const chat = this.parts.chat.get();
    const conversation = chat.conversations[id];
    const title = conversation === undefined ? "" : titleOf(chat, conversation);
    try {
      const file = await this.parts.rest((token) => threadsApi.exported(token, id, format));
      saveAs(file, `${fileName(title)}.${format === "json" ? "json" : "md"}`);
    } catch (error) {
      this.parts.notices.complain(error);
    }
  }

  /** Gone from the screen now, from the server when the time to undo has passed. */
  remove(id: string): void {
    this.parts.dispatch({ type: "removing", id, removing: true });
    const undo = () => {
      window.clearTimeout(this.deletions.get(id));
      this.deletions.delete(id);
      this.parts.dispatch({ type: "removing", id, removing: false });
    };
    this.parts.notices.tell("deleted", undo);
    this.deletions.set(
      id,
      window.setTimeout(() => void this.finishRemoving(id), NOTICE_MS),
    );
  }

  private async finishRemoving(id: string): Promise<void> {
    this.deletions.delete(id);
    try {
      await this.parts.ask({ type: "conversation.delete", conversation_id: id });
      this.parts.dispatch({ type: "removed", id });
    } catch (error) {
      if (error instanceof Refused && error.error.code === "not_found")
        this.parts.dispatch({ type: "removed", id });
      else {
        this.parts.dispatch({ type: "removing", id, removing: false });
        this.parts.notices.complain(error);
      }
    }
  }

  /** Nobody can undo once the page is gone: what was deleted on it is deleted. */
  readonly leaving = (): void => {
    const token = this.parts.tokenAtHand();
    for (const [id, timer] of this.deletions) {
      window.clearTimeout(timer);
      if (token !== null) void api.deleteConversation(token, id, true).catch(() => undefined);
    }
    this.deletions.clear();
  };
}

/** What stands beside a conversation: the projects, and of the one on the screen its people, agents and conversations. */
import type { Action, Chat } from "../state/chat";
import type { Store } from "../state/store";
import * as api from "./api";
import { all } from "./http";
import { preferProject, preferredProject } from "./preferred";
import * as projectsApi from "./projects";
import type { Project } from "./protocol";

/** Between two readings of the members, where somebody unknown speaks. */
const MEMBERS_EVERY_MS = 10_000;

interface Parts {
  userId: string;
  chat: Store<Chat>;
  dispatch(action: Action): void;
  token(): Promise<string>;
  rest<T>(work: (token: string) => Promise<T>): Promise<T>;
  /** Until it works; null where it never will. */
  eventually<T>(work: () => Promise<T>): Promise<T | null>;
}

export class Lists {
  private membersAt = 0;

  constructor(private readonly parts: Parts) {}

  async load(): Promise<void> {
    const projects = await this.parts.eventually(async () => {
      const token = await this.parts.token();
      return all((cursor) => api.projects(token, cursor));
    });
    if (projects === null) return;
    this.parts.dispatch({ type: "projects", projects });
    const wanted = this.parts.chat.get().projectId ?? preferredProject(this.parts.userId);
    const project = projects.find((one) => one.id === wanted) ?? projects[0];
    if (project !== undefined) await this.choose(project.id);
  }

  /** Show another project, or this one anew. */
  async choose(projectId: string): Promise<void> {
    preferProject(this.parts.userId, projectId);
    this.parts.dispatch({ type: "project", projectId });
    await Promise.all([
      this.loadMembers(),
      this.loadAgents(),
      this.loadPinned(projectId),
      this.loadShelf(projectId, false),
      this.loadShelf(projectId, true),
    ]);
  }

  knows(projectId: string): boolean {
    return this.parts.chat.get().projects.some((one) => one.id === projectId);
  }

  async createProject(name: string): Promise<Project> {
    const project = await this.parts.rest((token) => projectsApi.create(token, name));
    this.parts.dispatch({ type: "projects", projects: [...this.parts.chat.get().projects, project] });
    void this.choose(project.id);
    return project;
  }

  async loadMembers(): Promise<void> {
    const { projectId } = this.parts.chat.get();
    if (projectId === null) return;
    this.membersAt = Date.now();
    const members = await this.parts.eventually(async () => {
      const token = await this.parts.token();
      return all((cursor) => projectsApi.members(token, projectId, cursor));
    });
    if (members !== null) this.parts.dispatch({ type: "members", projectId, members });
  }

  async loadAgents(): Promise<void> {
    const { projectId } = this.parts.chat.get();
    if (projectId === null) return;
    const agents = await this.parts.eventually(async () => {
      const token = await this.parts.token();
      return all((cursor) => projectsApi.agents(token, projectId, cursor));
    });
    if (agents !== null) this.parts.dispatch({ type: "agents", projectId, agents });
  }

  private async loadPinned(projectId: string): Promise<void> {
    const page = await this.parts.eventually(async () =>
      api.conversations(await this.parts.token(), projectId, { pinned: true }),
    );
    if (page !== null) this.parts.dispatch({ type: "found", conversations: page.data });
  }

  /** Somebody speaks whom this page does not know: they came after the members were read. */
  meet(authorId: string | null): void {
    const known =
      authorId === null || authorId === this.parts.userId || authorId in this.parts.chat.get().members;
    if (!known && Date.now() - this.membersAt > MEMBERS_EVERY_MS) void this.loadMembers();
  }

  private async loadShelf(projectId: string, archived: boolean, cursor: string | null = null): Promise<void> {
    const page = await this.parts.eventually(async () =>
      api.conversations(await this.parts.token(), projectId, { archived }, cursor),
    );
    if (page === null) return;
    this.parts.dispatch({
      type: "listed",
      projectId,
      archived,
      first: cursor === null,
      conversations: page.data.filter((one) => one.archived === archived),
      nextCursor: page.next_cursor,
    });
  }

  async loadMore(archived: boolean): Promise<void> {
    const { projectId, shelves } = this.parts.chat.get();
    const { nextCursor } = archived ? shelves.archived : shelves.active;
    if (projectId !== null && nextCursor !== null) await this.loadShelf(projectId, archived, nextCursor);
  }
}

/** Timers that end together. */
export class Timers {
  private readonly running = new Set<number>();

  later(ms: number, work: () => void): void {
    const timer = window.setTimeout(() => {
      this.running.delete(timer);
      work();
    }, ms);
    this.running.add(timer);
  }

  stop(): void {
    for (const timer of this.running) window.clearTimeout(timer);
    this.running.clear();
  }
}

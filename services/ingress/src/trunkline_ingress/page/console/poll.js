// @ts-check
/**
 * A task done again and again while somebody looks: it rests while the tab is
 * hidden, never overlaps itself, and slows down while it fails.
 */

const LONGEST_PAUSE_MS = 15_000;

export class Poll {
  #task;
  #everyMs;
  #timer = 0;
  #running = null;
  #again = false;
  #failures = 0;
  #active = false;

  /** @param {() => Promise<void>} task  @param {number} everyMs */
  constructor(task, everyMs) {
    this.#task = task;
    this.#everyMs = everyMs;
    document.addEventListener('visibilitychange', () => this.#active && this.now());
  }

  start() {
    if (this.#active) return;
    this.#active = true;
    this.now();
  }

  stop() {
    this.#active = false;
    clearTimeout(this.#timer);
  }

  /** Do it now; what was begun before is followed by a fresh run. */
  now() {
    if (this.#running) {
      this.#again = true;
      return this.#running;
    }
    clearTimeout(this.#timer);
    if (document.hidden) return Promise.resolve();
    this.#running = this.#run();
    return this.#running;
  }

  async #run() {
    do {
      this.#again = false;
      try {
        await this.#task();
        this.#failures = 0;
      } catch {
        // The task has told it; here it only means patience.
        this.#failures += 1;
      }
    } while (this.#again);
    this.#running = null;
    if (!this.#active || document.hidden) return;
    const pause = Math.min(LONGEST_PAUSE_MS, this.#everyMs * 2 ** Math.min(this.#failures, 5));
    this.#timer = setTimeout(() => this.now(), pause);
  }
}

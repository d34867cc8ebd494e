// @ts-check
/** A periodic task: it never overlaps itself, backs off while it fails, and may pause while the tab is hidden. */

const MAX_DELAY_MS = 5000;
/** Number of failures up to which the delay doubles. */
const MAX_DOUBLINGS = 5;

export class Poll {
  #task;
  #intervalMs;
  #runsHidden;
  #timer = 0;
  /** @type {Promise<void>|null} */
  #running = null;
  /** A run was requested during the current one. */
  #repeat = false;
  #failures = 0;
  #active = false;

  /**
   * @param {() => Promise<void>} task  reports its own errors; a rejection only delays the next run
   * @param {number} intervalMs
   * @param {{runsHidden?: boolean}} [options]  `runsHidden`: go on while the tab is hidden
   */
  constructor(task, intervalMs, { runsHidden = false } = {}) {
    this.#task = task;
    this.#intervalMs = intervalMs;
    this.#runsHidden = runsHidden;
    const wake = () => { if (this.#active) void this.now(); };
    document.addEventListener('visibilitychange', wake);
    window.addEventListener('online', wake);
  }

  start() {
    if (this.#active) return;
    this.#active = true;
    void this.now();
  }

  stop() {
    this.#active = false;
    clearTimeout(this.#timer);
  }

  /**
   * Run the task now; if it is running, run it once more afterwards.
   * @returns {Promise<void>}
   */
  now() {
    if (this.#running) {
      this.#repeat = true;
      return this.#running;
    }
    clearTimeout(this.#timer);
    if (this.#isPaused()) return Promise.resolve();
    this.#running = this.#run();
    return this.#running;
  }

  #isPaused() {
    return document.hidden && !this.#runsHidden;
  }

  async #run() {
    do {
      this.#repeat = false;
      try {
        await this.#task();
        this.#failures = 0;
      } catch {
        this.#failures += 1;
      }
    } while (this.#repeat);
    this.#running = null;
    if (!this.#active || this.#isPaused()) return;
    const delay = Math.min(MAX_DELAY_MS, this.#intervalMs * 2 ** Math.min(this.#failures, MAX_DOUBLINGS));
    this.#timer = setTimeout(() => this.now(), delay);
  }
}

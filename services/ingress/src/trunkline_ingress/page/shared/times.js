// @ts-check
/** Display texts of times and durations. Times in Unix seconds, durations in seconds. Pure. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * Format a duration: `45 s`, `4 min`, `1 h 20 min`, `3 d`.
 * @param {number} seconds
 */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min`;
  if (whole < DAY) {
    const minutes = Math.floor((whole % HOUR) / MINUTE);
    return `${Math.floor(whole / HOUR)} h${minutes ? ` ${minutes} min` : ''}`;
  }
  return `${Math.floor(whole / DAY)} d`;
}

/**
 * Format a deadline: `due in 4 min`, `2 min overdue`.
 * @param {number} at
 * @param {number} now
 */
export function dueIn(at, now) {
  return at >= now ? `due in ${span(at - now)}` : `${span(now - at)} overdue`;
}

/**
 * Format a time of day, with the date if it is not today's.
 * @param {number} at
 * @param {number} now
 * @param {Intl.DateTimeFormatOptions} [options]
 */
export function clock(at, now, options = {}) {
  const date = new Date(at * 1000);
  const today = date.toDateString() === new Date(now * 1000).toDateString();
  return date.toLocaleString([], {
    hour: '2-digit', minute: '2-digit', hourCycle: 'h23',
    ...(today ? {} : { day: 'numeric', month: 'short' }), ...options,
  });
}

export const Flame = () => (
  <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
    <path fill="var(--ember)" d="M16 2c2 5 8 8 8 16a8 8 0 0 1-16 0c0-3 1-5 3-7 0 2 1 3 2 4 1-5 1-9 3-13z" />
    <path fill="var(--glow)" d="M16 15c1 3 4 4 4 8a4 4 0 0 1-8 0c0-3 3-5 4-8z" />
  </svg>
);

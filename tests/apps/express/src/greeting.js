export const greeting = (dyno) => `Hello from ${dyno}`;

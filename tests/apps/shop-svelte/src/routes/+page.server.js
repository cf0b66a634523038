import { env } from '$env/dynamic/private';

/** What only the server knows: the shop's name is a config var. */
export function load() {
  return { title: env.SHOP_NAME ?? 'A shop without a name', dyno: env.DYNO ?? 'no dyno' };
}

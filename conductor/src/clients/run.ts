/** Google's client, in a file of its own: it is loaded when it is needed, and found by its name in a bundle too. */
export { default } from 'googleapis/build/src/apis/run/v1.js';

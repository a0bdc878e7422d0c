/** The local Pub/Sub beside Google's emulator: each a process of its own, the same client, in turn. */
import { findEmulator, startEmulator } from '../../conformance/pubsub-emulator.ts';
import { startLocalCloud } from '../conductor.ts';
import { type Figure, figureOf, type Measure, Missing } from '../measure.ts';
import { measurePubSub, type PubSubFigures } from '../pubsub-throughput.ts';
import { compare } from '../sample.ts';

const TIMES = 3;

export const pubsub: Measure = {
  name: 'pubsub',
  what: "local Pub/Sub, beside Google's emulator",

  async run(workshop) {
    const installed = await findEmulator();
    if ('missing' in installed) throw new Missing(`Google's Pub/Sub emulator: ${installed.missing}`);
    const emulator = await startEmulator(installed);
    workshop.onClose(() => emulator.stop());
    const local = await startLocalCloud(workshop);
    try {
      const samples: Sample[] = [];
      for (let turn = 1; turn <= TIMES; turn++) {
        workshop.say(`Local Pub/Sub and Google's emulator, ${turn} of ${TIMES}`);
        samples.push({
          ours: await measurePubSub(local.origin),
          theirs: await measurePubSub(emulator.endpoint),
        });
      }
      return figuresOf(samples);
    } finally {
      await local.stop();
      await emulator.stop();
    }
  },
};

interface Sample {
  readonly ours: PubSubFigures;
  readonly theirs: PubSubFigures;
}

function figuresOf(samples: readonly Sample[]): Figure[] {
  const both = (pick: (figures: PubSubFigures) => number) =>
    compare(samples.map(({ ours, theirs }) => ({ ours: pick(ours), theirs: pick(theirs) })));
  const received = both(({ receivedPerSecond }) => receivedPerSecond);
  const published = both(({ publishedPerSecond }) => publishedPerSecond);
  const trip = both(({ p50Ms }) => p50Ms);
  const medians = `medians of ${TIMES}`;
  return [
    figureOf({
      name: pubsub.name,
      what: "local Pub/Sub, messages published and received per second, beside Google's emulator",
      figure: received.ratio,
      unit: '×',
      target: { atLeast: 1 },
      detail: `${perSecond(received.ours)} beside ${perSecond(received.theirs)}, ${medians}`,
    }),
    figureOf({
      name: `${pubsub.name}.publish`,
      what: 'local Pub/Sub, messages only published per second',
      figure: published.ratio,
      unit: '×',
      target: { atLeast: 1 },
      detail: `${perSecond(published.ours)} beside ${perSecond(published.theirs)}, ${medians}`,
    }),
    figureOf({
      name: `${pubsub.name}.trip`,
      what: 'local Pub/Sub, one message there and back',
      figure: trip.ratio,
      unit: '×',
      target: { atMost: 1 },
      detail: `p50 ${trip.ours.toFixed(2)} ms beside ${trip.theirs.toFixed(2)} ms, ${medians}`,
    }),
  ];
}

function perSecond(messages: number): string {
  return `${Math.round(messages).toLocaleString('en')}/s`;
}

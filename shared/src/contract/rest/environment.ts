/** What the dialects call environments. */
import { z } from 'zod';

/** Short enough to be the end of a scope, which is the value of a label. */
export const Environment = z.string().regex(/^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$/, {
  error:
    'an environment has at most 20 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen',
});

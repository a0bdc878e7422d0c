/** Says what it was told: the address that the module came to. */
const { createServer } = require('node:http');

const { ADDRESS = '', PORT = '8080' } = process.env;
createServer((request, response) => {
  response.end(request.url === '/health' ? 'ok' : ADDRESS);
}).listen(Number(PORT));

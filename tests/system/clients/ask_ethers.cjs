// Ask a JSON-RPC endpoint with ethers, and print what it understood: node ask_ethers.cjs URL QUESTION.
"use strict";

const { Contract, JsonRpcProvider, toBeHex } = require("ethers");

// The text of an error that must come.
async function named(promise) {
  try {
    await promise;
  } catch (error) {
    return [error.reason, error.message, JSON.stringify(error.info ?? error.error ?? null)].join(" ");
  }
  throw new Error("expected an error, got none");
}

async function main() {
  const asked = JSON.parse(process.argv[3]);
  const provider = new JsonRpcProvider(process.argv[2]);
  const contract = new Contract(asked.address, asked.abi, provider);
  const network = await provider.getNetwork();
  const block = await provider.getBlock("latest");
  const full = await provider.getBlock(1, true);
  const tx = await provider.getTransaction(asked.transaction);
  const receipt = await provider.getTransactionReceipt(asked.transaction);
  const call = contract.interface.parseTransaction(tx);
  const logs = await contract.queryFilter(contract.filters.InputCommitted(asked.query), 0, "latest");
  const states = [];
  for (const blockTag of [0, 1]) states.push(Number((await contract.get(asked.query, { blockTag }))[0]));
  const nothing = "0x" + "ab".repeat(32);
  for (const missing of [provider.getTransaction(nothing), provider.getTransactionReceipt(nothing), provider.getBlock(99)]) {
    if ((await missing) !== null) throw new Error("expected nothing, got something");
  }
  const registered = receipt.logs.map((log) => contract.interface.parseLog(log)).filter((log) => log.name === "Registered");
  const answer = {
    client: await provider.send("web3_clientVersion", []),
    chain: [Number(network.chainId), Number(await provider.send("net_version", []))],
    height: await provider.getBlockNumber(),
    block: [block.number, block.timestamp, block.hash],
    same: (await provider.getBlock(block.hash)).number,
    full: full.prefetchedTransactions.map((item) => item.hash),
    transaction: [tx.from.toLowerCase(), tx.to.toLowerCase(), tx.blockNumber, call.name, call.args[2].slice(2)],
    receipt: [receipt.status, Number(receipt.gasUsed), receipt.logs.length],
    failed: (await provider.getTransactionReceipt(asked.failed)).status,
    registered: registered.map((log) => log.args[0].slice(2)),
    committed: logs.map((log) => log.transactionHash),
    states,
    now: Number((await contract.get(asked.query))[10]),
    reverted: (await named(contract.expire.staticCall([], "0x", asked.expire))).includes("MEMBER_ONLY"),
    code: ((await provider.getCode(asked.address)).length - 2) / 2,
    account: [Number(await provider.getBalance(asked.address)), await provider.getTransactionCount(asked.address)],
    read_only: (await named(provider.send("eth_sendRawTransaction", ["0x00"]))).includes("read-only"),
    batch: (await Promise.all([1, 2].map((height) => provider.getBlock(toBeHex(height))))).map((found) => found.number),
  };
  process.stdout.write(JSON.stringify(answer) + "\n");
  provider.destroy();
}

main();

"""The inquirer's client: ask, follow, open and keep answers, from Python; the program's `query` commands use it.

    async with Inquirer.open(Path("profile.toml")) as inquirer:
        answer = await inquirer.ask("credit-rating", "DE-0A1B2C3D", purpose="credit-application")

An answer is opened only from a receipt that verifies against the consortium document: what the operator says is never
believed on its word.
"""

from mpcnode.client.answers import Answer, AnswerState
from mpcnode.client.inquirer import Inquirer

__all__ = ["Answer", "AnswerState", "Inquirer"]

"""GradientEmbeddings: the Gradient API's vectors of texts as langchain-core's Embeddings.

It takes the parameters of the class that lived in `langchain_community.embeddings`, so that changing the import line is
the whole migration. It talks through the gradientai SDK. Notebooks use it as `from helpers import GradientEmbeddings`.
"""

from __future__ import annotations

from langchain_core.embeddings import Embeddings
from pydantic import Field

from . import sdk
from .endpoint_fields import MAX_CONCURRENT, EndpointFields
from .errors import BadInput
from .hanging_up import aall_of, all_of
from .language import _, later

BATCH = 256  # texts that one call takes


class GradientEmbeddings(EndpointFields, Embeddings):
    """An embeddings model of a Gradient endpoint.

    Args:
        model: its slug, "bge-large".
        gradient_access_token: default: GRADIENT_ACCESS_TOKEN, which connect() sets.
        gradient_workspace_id: default: GRADIENT_WORKSPACE_ID, which connect() sets.
        gradient_api_url: default: GRADIENT_API_URL, which connect() sets.
        query_prompt_for_retrieval: what is written in front of a query, with a space after it.

    Raises:
        BadInput (a GradientError and a ValueError): a parameter is unknown, or credentials are missing.
        GradientError: from calls, with the service's own sentence.
    """

    model_is = later("the slug of an embeddings model")

    model: str = Field(min_length=1)
    query_prompt_for_retrieval: str | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts, in their order, BATCH a call and MAX_CONCURRENT calls at once.

        Args:
            texts: the texts; none may be empty.

        Raises:
            BadInput: the texts are one string, whose letters no one means.
            GradientError: from calls.
        """
        return sum(all_of(self._vectors, _batches(texts), MAX_CONCURRENT), [])

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As `embed_documents`; when it is cancelled, the service stops too."""
        return sum(await aall_of(self._vectors, _batches(texts), MAX_CONCURRENT), [])

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text that others are to be found by.

        Raises:
            GradientError: from the call.
        """
        return self.embed_documents([self._query(text)])[0]

    async def aembed_query(self, text: str) -> list[float]:
        """As `embed_query`."""
        return (await self.aembed_documents([self._query(text)]))[0]

    def _query(self, text: str) -> str:
        prompt = self.query_prompt_for_retrieval
        return text if prompt is None else f"{prompt} {text}"

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        model = sdk.embeddings_model(self._client(), self.model)
        found = model.generate_embeddings(inputs=[{"input": text} for text in texts])
        return [one.embedding for one in sorted(found.embeddings, key=lambda one: one.index)]


def _batches(texts: list[str]) -> list[list[str]]:
    if isinstance(texts, str):
        raise BadInput(_("embed_documents takes a list of texts, and this is one: put it into a list."))
    return [texts[begin : begin + BATCH] for begin in range(0, len(texts), BATCH)]

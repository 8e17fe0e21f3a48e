"""The wire formats, each a module of pure functions: `read` a body, `whole` and `frames` of an answer, `failed`.

`openai_chat`, `openai_completions`, `openai_responses`, `openai_embeddings`, `anthropic_messages`, `gemini`;
`table` names them by method and path.
"""

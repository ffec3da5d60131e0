"""Between the APIs that clients and targets speak: pure functions and small stream machines.

Requests: ``chat_to_messages``, ``messages_to_chat``. Answers: ``answer_to_chat`` and
``stream_to_chat`` (from Messages), ``answer_to_messages`` and ``stream_to_messages`` (from chat).
A chat stream may tell calls of tools by turns: ``told_calls`` says which one a piece is about,
``message_blocks`` puts them one after the other, as Messages has them.
``messages_to_vllm`` says to vLLM's chat what vLLM's own Messages route would.
Responses go through chat, whoever answers: ``responses_to_chat`` (its conversation in
``items_to_messages``), ``answer_to_responses`` and ``stream_to_responses``, which tell the same
``response_items`` of one ``response_object``.
Parameters that only tune (penalties, seed, logit bias, service tier) are left out where the other
API lacks them; what would change the shape of the answer is refused, naming the parameter.
"""

"""Between OpenAI's chat and Anthropic's Messages: pure functions and small stream machines.

Requests: ``chat_to_messages``, ``messages_to_chat``. Answers: ``answer_to_chat`` and
``stream_to_chat`` (from Messages), ``answer_to_messages`` and ``stream_to_messages`` (from chat).
``messages_to_vllm`` says to vLLM's chat what vLLM's own Messages route would;
``responses_to_chat`` and ``stream_to_responses`` go on with a broken Responses stream through chat.
Parameters that only tune (penalties, seed, logit bias, service tier) are left out where the other
API lacks them; what would change the shape of the answer is refused, naming the parameter.
"""

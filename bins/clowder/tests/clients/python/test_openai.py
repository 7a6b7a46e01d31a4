"""openai-python against the gateway."""

import openai
import pytest

from conftest import active_slots, eventually, in_flight

MODEL = "kitten"
LONG = [{"role": "user", "content": "Count from 1 to 200."}]


def ask(client: openai.OpenAI, content: str, **settings) -> str:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}], temperature=0, **settings
    )
    return answer.choices[0].message.content


def test_models_are_listed(client):
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def test_chat_answers_sensibly(client):
    answer = ask(client, "What is Clowder?")
    assert "Clowder" in answer and "model" in answer.lower(), answer


def test_usage_adds_up(client):
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=5)
    usage = answer.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 5
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert answer.model == MODEL


def test_stream_with_usage_is_the_answer_in_pieces(client):
    whole = ask(client, "What is Clowder?")
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is Clowder?"}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len(pieces) > 3 and "".join(pieces) == whole
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert finishes[-1] == "stop" and not any(finishes[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("text", ["café crème", "你好", "🐱", "Zoë 🐱 你好"])
def test_text_arrives_and_returns_intact(client, text):
    assert text in ask(client, f"Repeat after me: {text}")


def test_several_turns_keep_what_was_said(client):
    turns = [{"role": "user", "content": "My name is Zoë."}]
    first = client.chat.completions.create(model=MODEL, messages=turns, temperature=0)
    turns += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "What is my name?"},
    ]
    second = client.chat.completions.create(model=MODEL, messages=turns, temperature=0)
    assert "Zoë" in second.choices[0].message.content
    assert second.usage.prompt_tokens_details.cached_tokens > 0, "the first turn's KV is used again"


def test_stop_strings_end_the_answer_and_are_not_in_it(client):
    answer = client.chat.completions.create(model=MODEL, messages=LONG, temperature=0, stop=["7", "never"])
    assert answer.choices[0].finish_reason == "stop"
    assert "6" in answer.choices[0].message.content and "7" not in answer.choices[0].message.content


def test_a_seed_repeats_the_answer(client):
    def draw(seed: int) -> str:
        messages = [{"role": "user", "content": "hello"}]
        answer = client.chat.completions.create(model=MODEL, messages=messages, temperature=1.5, seed=seed, max_tokens=24)
        return answer.choices[0].message.content

    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(8)}) > 1


def test_max_tokens_cuts_with_the_reason(client):
    answer = client.chat.completions.create(model=MODEL, messages=LONG, max_tokens=9)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 9


def test_a_tool_is_called_and_its_result_told(client):
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    question = {"role": "user", "content": "What is the weather in Paris?"}
    answer = client.chat.completions.create(model=MODEL, messages=[question], tools=[tool], temperature=0)
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and "Paris" in call.function.arguments


def test_plain_completions(client):
    answer = client.completions.create(model=MODEL, prompt="Hello", max_tokens=4, temperature=0)
    assert answer.usage.completion_tokens <= 4
    streamed = client.completions.create(model=MODEL, prompt="Hello", max_tokens=4, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == answer.choices[0].text


def test_a_client_that_leaves_frees_its_slot(client):
    for _ in range(8):
        stream = client.chat.completions.create(model=MODEL, messages=LONG, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
    eventually("no request in flight", lambda: in_flight() == 0)
    eventually("no slot at work", lambda: active_slots() == 0)


def test_unknown_model_names_those_that_exist(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-9", messages=LONG)
    assert MODEL in refused.value.message and refused.value.code == "model_not_found"


def test_too_long_a_prompt_says_so(client):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "word " * 5000)
    assert refused.value.code == "context_length_exceeded"


def test_wrong_types_name_the_parameter(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=LONG, extra_body={"temperature": "hot"})
    assert "temperature" in refused.value.message

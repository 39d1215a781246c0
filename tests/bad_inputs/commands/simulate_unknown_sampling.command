simulate --models own_model --model own_model --prompt-tokens 100 --output-tokens 20

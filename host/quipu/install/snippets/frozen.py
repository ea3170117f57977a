# Says the name of the board whose image with Quipu in it this is. Nothing: Quipu is not in the image.


def frozen():
    try:
        import board_facts

        print(board_facts.FACTS["name"])
    except ImportError:
        pass
